"""Starts the API: `python -m app`."""

import signal
import sys

import uvicorn

from app.config import ApiSettings, load_settings
from app.errors import ConfigurationError
from app.logs import configure_logs
from app.main import create_app
from app.versions import require_locked_versions


def main() -> int:
    """Serve until SIGTERM; 1 if the process may not start, with the reason on standard error."""
    try:
        require_locked_versions()
        settings = load_settings(ApiSettings)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    configure_logs(settings)
    # uvicorn raises the signal that stopped it once more when it is done; a stop that was asked for is a success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        log_config=None,
        access_log=False,  # app/api/middleware.py writes one line a request, with its id
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
