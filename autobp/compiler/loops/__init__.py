"""Loops: recurrences in a graph, found and made into one body that runs step after step.

::

    Tape                 the nodes in one row, and what each looks like
    Run                  where the row repeats
    Recurrence           the nodes that are computed from those of the steps before
    Level                in which order nodes and loops are computed
    Program              with a Loop for each

Nothing is taken for a loop of which not every operand of every step is where the body says.
"""
