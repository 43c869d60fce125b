"""``python -m croft`` and the ``croft`` command."""

import sys

from croft.cli import main

if __name__ == "__main__":
    sys.exit(main())
