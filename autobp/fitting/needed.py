"""SciPy, which fits need and nothing else in autobp does: imported where it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def scipy(part: str) -> Any:
    """A part of SciPy, such as "optimize". ImportError with what to install where it is missing."""
    try:
        return import_module(f"scipy.{part}")
    except ImportError as error:
        raise ImportError('fits need SciPy; install it with: pip install "autobp[models]"') from error
