"""``python -m bpx`` is the command ``bpx``."""

import sys

from bpx.cli import main

if __name__ == "__main__":
    sys.exit(main())
