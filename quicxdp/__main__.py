"""`python -m quicxdp`."""

import sys

from quicxdp.cli import main

if __name__ == "__main__":
    sys.exit(main())
