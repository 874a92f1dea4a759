"""Machine code: C of our own, built by the system's compiler, kept on disk, and called.

- :mod:`~autobp.machine.toolchain`: the compiler, which is asked once what it is.
- :mod:`~autobp.machine.cache`: libraries that were built, in a folder of the user's.
- :mod:`~autobp.machine.memory`: how much of it there is.
- :mod:`~autobp.machine.functions`: the functions in them, called with NumPy's arrays.

What cannot be had raises :class:`~autobp.machine.toolchain.NoMachineCode`, which says why in one line.
"""

from autobp.machine.cache import clear as clear
from autobp.machine.cache import folder as folder
from autobp.machine.cache import kept as kept
from autobp.machine.functions import MachineFunction as MachineFunction
from autobp.machine.functions import build as build
from autobp.machine.toolchain import NoMachineCode as NoMachineCode
from autobp.machine.toolchain import slow_builds_told as slow_builds_told
