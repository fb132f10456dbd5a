"""``python -m kmodel`` and ``kmodel`` are the same."""

from __future__ import annotations

import sys

from kmodel.cli import run_command_line


def main() -> None:
    """Run the command line and exit with its status."""
    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
