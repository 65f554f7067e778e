"""One run of the worker (`--once`) in this process, against the real emulator."""

import asyncio
import faulthandler
import signal
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.config import WorkerSettings
from embedded.stack import Ready
from tests.support.running_worker import PATIENCE
from worker.one_shot import run_one_shot
from worker.options import OneShotOptions
from worker.run_summary import RunSummary

NOWHERE = "http://127.0.0.1:9"
SENDER = "Broadsheet <digest@example.org>"


def run_settings(stack: Ready, **changes: object) -> WorkerSettings:
    """Settings of a worker that reaches this machine alone; leases are short."""
    here = {"supabase_url": stack.url, "supabase_key": stack.secret_key, "grace_period": "0.1", "daily_fetch_at": "off"}
    nobody = {"arxiv_base_url": NOWHERE, "feeds": f"none={NOWHERE}/rss"}
    lease = {"lease_seconds": "3", "supabase_call_timeout": "1"}
    return WorkerSettings.model_validate({**here, **nobody, **lease, **changes})


async def one_run(settings: WorkerSettings, **options: Any) -> tuple[RunSummary, list[MutableMapping[str, Any]]]:
    """Run once; returns the summary and the log. The watch over the event loop does not end the tests' process."""
    with pytest.MonkeyPatch.context() as patched, capture_logs() as log:
        patched.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: None)
        try:
            async with asyncio.timeout(2 * PATIENCE):
                summary = await run_one_shot(settings, OneShotOptions(**options))
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().remove_signal_handler(number)
    return summary, log


SECOND = timedelta(seconds=1)
