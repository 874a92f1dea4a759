"""Where the installed ``autobp`` begins, before it imports the package: Ctrl-C then is no traceback."""

from __future__ import annotations


def main() -> int:
    """Import the command and run it; its exit status, and 130 after Ctrl-C."""
    try:
        from autobp.command import main as command

        return command()
    except KeyboardInterrupt:
        import sys

        print("autobp: interrupted", file=sys.stderr)
        return 130
