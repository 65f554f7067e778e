"""Runs pytest repeatedly, each time in a fork of a process that has imported the tests: a run saves their import.

    python -m scripts.warm_pytest OUTPUT TESTS...

Each line of standard input is one run: a JSON object with pytest's `arguments` and more variables of the `environment`.
For each, standard output gets a line with the exit status. `OUTPUT` is the file for the output of the last run. Code
that a run imports must not change.
"""

import json
import os
import sys

import pytest


def serve(output: str, tests: list[str]) -> None:
    """Import the tests, then run pytest for each line of standard input until its end."""
    statuses = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    _redirect(os.devnull)
    pytest.main(["--collect-only", *tests])
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            _redirect(output)
            run = json.loads(line)
            os.environ.update(run["environment"])
            status = pytest.main(run["arguments"])
            sys.stdout.flush()
            os._exit(status)
        _, ended = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(ended), file=statuses, flush=True)


def _redirect(path: str) -> None:
    sys.stdout.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
    os.close(file)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
