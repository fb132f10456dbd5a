"""``python -m kmodel`` and ``kmodel`` are the same."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        from kmodel.cli import run_command_line
    except KeyboardInterrupt:  # of the first moment
        sys.exit(130)
    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
