"""Programs as text: each language one file over the intermediate representation.

In flows a :class:`~autobp.ir.Program`, out flows text, and beside it plain data about the text:
statements, helpers and constants. Nothing here changes a program.

- :mod:`~autobp.backends.printer`: what all have in common. The kind of an array finds the method that writes
  it; a table tells how each name in an expression is written.
- :mod:`~autobp.backends.moves`: what is sliced, reshaped and turned, as data, for whoever writes arrays.
- :mod:`~autobp.backends.source_module`: what all that write NumPy share: expressions, helpers, constants.
- :mod:`~autobp.backends.numpy_text`, :mod:`~autobp.backends.numpy_checked`: source to read, and the same with
  every operation a statement of its own, each tested for numbers that are not finite.
- :mod:`~autobp.backends.schedule`: which step computes what, in which buffer, as plain data of no language
  (:mod:`~autobp.backends.steps`, :mod:`~autobp.backends.operands`). First comes a plan of what is where
  (:mod:`~autobp.backends.placement`); then steps are taken (:mod:`~autobp.backends.builder`, and
  :mod:`~autobp.backends.elementwise` for expressions). :mod:`~autobp.backends.aliasing` checks that no step
  reads what is written over; :mod:`~autobp.backends.numpy_calls` writes the steps down, to run.
- :mod:`~autobp.backends.c_text`: C that stands alone. First comes a plan of what comes before the samples
  and what with them (:mod:`~autobp.backends.c_plan`), then loop nests (:mod:`~autobp.backends.c_statements`,
  :mod:`~autobp.backends.c_nests`) over elements (:mod:`~autobp.backends.c_elements`). Graphs without arrays
  become :mod:`~autobp.backends.c_tables`, and what is handed on, a :mod:`~autobp.backends.c_file`.
- :mod:`~autobp.backends.latex`: equations. :mod:`~autobp.backends.javascript`: what a page computes with.

A language that is added is one more file with a :class:`~autobp.backends.printer.Printer`.
"""
