"""The ``autobp`` command.

What flows in: the words after ``autobp``; ``commands`` has a module for each command, found by its file, so
that a new command is one new file. They share the ``arguments`` that people write, and the ``networks`` that
these name. What flows out, by ``entry``: text, files, and an exit status.
"""

from autobp.command.entry import main as main
