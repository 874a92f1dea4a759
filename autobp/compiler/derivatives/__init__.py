"""Derivatives of programs: of cost and gradient, of outputs, of each row, made when they are asked for.

::

    Program of the outputs, or of cost and gradient
    Forward                   the tangent of each array, in one direction or several
    Reverse                   the adjoint of each array, summed over the samples or not
    Program of a derivative   a Hessian, a product with one, a Jacobian …
    Made                      its function, proved against the scalar graph

No scalar graph is differentiated for them: a product of matrices has products of matrices for tangents. Only
what they are held against is (:mod:`~autobp.compiler.derivatives.walked`).
"""
