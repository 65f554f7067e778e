"""The API's program: opens its ports, builds the application and serves it with uvicorn."""

import signal
import socket
import sys
from contextlib import suppress

import structlog
import uvicorn

from app.api.connection import BoundedProtocol
from app.config import ApiSettings, load_settings
from app.errors import ConfigurationError
from app.installation.versions import project_version, require_locked_versions
from app.main import create_app
from app.process.gc_freeze import freeze_loaded_objects
from app.process.logs import configure_logs
from app.process.private_port import open_listener, url_of
from app.tracing.export import exporting

SHUTDOWN_TIMEOUT = 25
"""Seconds for open requests after SIGTERM: longer than a call to Supabase with all retries, and shorter than the
platform's `kill_timeout` (fly.toml)."""

log = structlog.get_logger(__name__)


def main() -> int:
    """Serve until SIGTERM. Returns 1, with the reason on standard error, if the process cannot start."""
    try:
        require_locked_versions()
        settings = load_settings(ApiSettings)
        listener = open_listener(settings.host, settings.port, "PORT")
        metrics_listener = _metrics_listener(settings)
        with exporting("broadsheet-api", project_version()):
            _serve(settings, listener, metrics_listener)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _serve(settings: ApiSettings, listener: socket.socket, metrics_listener: socket.socket | None) -> None:
    configure_logs(settings)
    # After its shutdown uvicorn raises SIGTERM again; a requested stop must exit with 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        create_app(settings, metrics_listener=metrics_listener),
        http=BoundedProtocol,
        ws="none",
        loop="uvloop",
        log_config=None,
        access_log=False,  # app/api/middleware.py logs one line per request, with its id
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
    )
    freeze_loaded_objects()
    log.info(f"API running on {url_of(listener)}")
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _metrics_listener(settings: ApiSettings) -> socket.socket | None:
    if settings.metrics_port is None:
        return None
    return open_listener(settings.metrics_host, settings.metrics_port, "METRICS_PORT")
