"""Makes the benchmarks importable, behind whichever autobp is installed."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
