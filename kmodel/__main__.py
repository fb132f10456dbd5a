"""``python -m kmodel`` and ``kmodel`` are the same."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        from kmodel.cli import run_command_line
    except KeyboardInterrupt:  # of the first moment
        sys.exit(130)
    status = run_command_line(sys.argv[1:])
    if status == 130:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is ending already
    sys.exit(status)


if __name__ == "__main__":
    main()
