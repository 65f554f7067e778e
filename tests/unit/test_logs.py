"""Libraries that parse untrusted input do not log it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from app.config import ApiSettings
from app.logs import configure_logs
from app.sources.bibtex import BibtexReader

SECRET = "xyzzy"
BROKEN = "@article{a, title={xyzzy} author={xyzzy}\n@article{b, title={\\xyzzy{} \\begin{xyzzy}}}\n"


@contextmanager
def logs_of(environment: str) -> Iterator[None]:
    """The logs of a process, as detailed as they get, and the test run's again afterwards."""
    values = {"supabase_url": "http://127.0.0.1:9", "supabase_key": "sb_secret_x", "api_keys": "ada:ada-key-0123456789"}
    root = logging.getLogger()
    before, structlogs = (root.handlers[:], root.level), structlog.get_config()
    configure_logs(ApiSettings.model_validate(values | {"environment": environment, "log_level": "DEBUG"}))
    try:
        yield
    finally:
        root.handlers[:], root.level = before
        structlog.configure(**structlogs)


@pytest.mark.parametrize("environment", ["production", "development"])
async def test_a_broken_bibtex_file_is_not_logged(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    with logs_of(environment):
        reader = BibtexReader()
        await reader.read(BROKEN)
        for library in ("bibtexparser", "bibtexparser.splitter", "pylatexenc.latexwalker"):
            logging.getLogger(library).error("cannot read %s", SECRET)
        logging.getLogger("another").error("the logs are on")
    printed = "".join(capsys.readouterr())
    assert reader.bad
    assert ("the logs are on" in printed, SECRET in printed) == (True, False)
