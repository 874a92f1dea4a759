"""The ``autobp`` command, for ``python -m autobp``; see :mod:`autobp.command`."""

import sys

from _autobp import main as main

if __name__ == "__main__":
    sys.exit(main())
