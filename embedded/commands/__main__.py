"""`python -m embedded.commands up|digest`: starts a command that Ctrl-C ends without a traceback at any moment."""

import importlib
import signal
import sys
from contextlib import suppress

if __name__ == "__main__":
    # While modules are imported, nothing runs yet: the default action ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.argv[1] in {"daily", "digest"}:
        # The imports take a second, on a slow disk more.
        with suppress(OSError):
            print("loading the program", flush=True)
    status = importlib.import_module(f"embedded.commands.{sys.argv[1]}").main(sys.argv[2:])
    # Everything is closed: there is nothing to interrupt.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(status)
