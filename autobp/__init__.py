"""autobp: write scalars, see every derivative, run at matrix speed."""

from autobp import matrix as matrix
from autobp.engine import Value as Value
from autobp.functions import *  # noqa: F403
from autobp.ops import operation as operation

__version__ = "0.1.0"
