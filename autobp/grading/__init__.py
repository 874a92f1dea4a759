"""Students' work judged: each submission in a process of its own, each equation by itself.

:func:`grade` takes a folder of submissions and a :class:`Task`. What a submission computes is computed in a
process with limits of time and memory, which knows nothing of the right answer (``worker``, ``process``);
what it returned is compared here with a witness, equation by equation (``kinds``). What flows out: a
:class:`Result` for each student, as JSON and HTML, a table, and grades as CSV (``reports``).
"""

from autobp.grading.judged import Item, Result
from autobp.grading.session import grade
from autobp.grading.tasks import READY, Task, read_task

__all__ = ["READY", "Item", "Result", "Task", "grade", "read_task"]
