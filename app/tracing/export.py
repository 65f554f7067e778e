"""Exports a process's spans by OTLP over HTTP, if the environment asks for it and the extra `otel` is installed.

The variables are those of OpenTelemetry:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/

The exporter's thread is the one exception from the rule that no thread starts. The spans of a process are in one
provider, which is not the global one: no library, FastAPI included, writes its spans into it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog

from app.errors import ConfigurationError
from app.tracing.current import using_spans

if TYPE_CHECKING:
    from app.tracing.provider import Provider

log = structlog.get_logger(__name__)

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTER: Final = "OTEL_TRACES_EXPORTER"


@contextmanager
def exporting(service: str, version: str) -> Iterator[None]:
    """Write and export spans while the block runs; do nothing unless the environment asks for it.

    Raises `ConfigurationError` if the environment asks for something that does not exist. At the end of the block it
    sends the last spans, for a few seconds at most: run the event loop inside.
    """
    if not requested(os.environ):
        yield
        return
    try:
        provider = _open(service, version)
    except ModuleNotFoundError as error:
        log.warning("traces are off: install requirements-otel.lock instead of requirements.lock", missing=error.name)
        yield
        return
    try:
        with using_spans(provider.spans):
            yield
    finally:
        provider.close()


def requested(environment: Mapping[str, str]) -> bool:
    """Return whether the environment asks for traces. Raises `ConfigurationError`."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get(_EXPORTER, "").strip().lower()
    if exporter not in {"", "otlp", "none"}:
        raise ConfigurationError(f"{_EXPORTER} is {exporter!r}. Expected: otlp or none.")
    if exporter == "none" or (not exporter and not _first(environment, _ENDPOINTS)):
        return False
    protocol = _first(environment, _PROTOCOLS)
    if protocol not in {None, "http/protobuf"}:
        raise ConfigurationError(f"{_PROTOCOLS[1]} is {protocol!r}. Expected: http/protobuf, or unset it.")
    return True


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := environment.get(name, "").strip())), None)


def _open(service: str, version: str) -> "Provider":
    """Open the provider. Raises `ConfigurationError` for a value that the SDK refuses, `ModuleNotFoundError`."""
    # The SDK takes 20 MB, and its import a quarter of a second.
    from app.tracing.provider import Provider  # noqa: PLC0415  (only with traces)

    try:
        return Provider(service, version)
    except ValueError as error:
        raise ConfigurationError(f"A variable OTEL_* is invalid: {error}") from None
