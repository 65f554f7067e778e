"""`python -m embedded.commands up|digest`: starts a command in a way that Ctrl-C ends quietly at any moment."""

import importlib
import signal
import sys

if __name__ == "__main__":
    # While the modules are read, and nothing runs yet: without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    status = importlib.import_module(f"embedded.commands.{sys.argv[1]}").main(sys.argv[2:])
    # Everything is closed; there is nothing left to interrupt.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(status)
