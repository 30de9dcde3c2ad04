"""`python -m supervisor` is the command `govrun`."""

import sys

from supervisor.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
