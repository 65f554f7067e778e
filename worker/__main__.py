"""Starts the worker: `python -m worker`."""

import sys

from app.config import WorkerSettings, load_settings
from app.errors import ConfigurationError
from app.logs import configure_logs
from app.versions import require_locked_versions


def main() -> int:
    """Work until SIGTERM; 1 if the process may not start, with the reason on standard error."""
    try:
        require_locked_versions()
        settings = load_settings(WorkerSettings)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    configure_logs(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
