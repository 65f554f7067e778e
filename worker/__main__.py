"""Starts the worker: `python -m worker`."""

import sys

from app.process.gc_freeze import pause_collection

if __name__ == "__main__":
    pause_collection()
    from worker.main import main

    sys.exit(main(sys.argv[1:]))
