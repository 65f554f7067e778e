"""Starts the API: `python -m app`."""

import sys

from app.process.gc_freeze import pause_collection

if __name__ == "__main__":
    pause_collection()
    from app.server import main

    sys.exit(main())
