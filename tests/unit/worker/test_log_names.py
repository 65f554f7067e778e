"""The logger names of the worker's log lines."""

import importlib
import logging
import pkgutil
from collections.abc import Iterator

import pytest
import structlog

import worker

MODULES = [found.name for found in pkgutil.walk_packages(worker.__path__, "worker.")]


@pytest.fixture
def structured() -> Iterator[None]:
    """Log through the standard library, as the processes do; restored after the test."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory(), wrapper_class=structlog.stdlib.BoundLogger)
    yield
    structlog.configure(**before)


def test_each_module_logs_under_its_own_name(structured: None) -> None:  # noqa: ARG001  (while it lasts)
    loggers = {name: getattr(importlib.import_module(name), "log", None) for name in MODULES}
    named = {name: logger.bind().name for name, logger in loggers.items() if logger is not None}
    assert len(named) > 5
    assert named == {name: logging.getLogger(name).name for name in named}
