"""When a process exports traces, and what it says if it cannot."""

import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.errors import ConfigurationError
from app.tracing.current import active_spans
from app.tracing.export import exporting, requested
from tests.support.refused_threads import no_threads

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "True"}, False),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_the_standard_variables_turn_traces_on(environment: dict[str, str], *, expected: bool) -> None:
    assert requested(environment) is expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin'. Expected: otlp or none."),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'"),
    ],
)
def test_an_unknown_value_is_an_error(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        requested(environment)


def test_without_the_variables_nothing_starts() -> None:
    with no_threads() as refused, exporting("broadsheet-test", "1"):
        assert active_spans() is None
    assert refused == []


def test_a_value_that_the_sdk_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with (
        pytest.raises(ConfigurationError, match=r"A variable OTEL_\* is invalid: max_queue_size"),
        exporting("broadsheet-test", "1"),
    ):
        pass


def test_a_missing_extra_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.delitem(sys.modules, "app.tracing.provider", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with capture_logs() as logs, exporting("broadsheet-test", "1"):
        assert active_spans() is None
    (record,) = logs
    assert record["log_level"] == "warning"
    assert "requirements-otel.lock" in record["event"]


def test_the_lock_of_the_extra_has_the_packages_of_the_other() -> None:
    root = Path(__file__).parents[3]
    plain, traced = (
        {line for line in (root / name).read_text(encoding="utf-8").splitlines() if "==" in line and line[0].isalnum()}
        for name in ("requirements.lock", "requirements-otel.lock")
    )
    assert plain < traced
    assert {line.split("==")[0] for line in traced - plain} >= {
        "opentelemetry-sdk",
        "opentelemetry-exporter-otlp-proto-http",
    }
