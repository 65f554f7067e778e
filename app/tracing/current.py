"""What the service calls to write spans. Without traces, each function returns at once and loads nothing.

Traces are ambient, like logs: they describe the work of every package. So they are in a context variable, not in
constructors. It is set once in a process, before the event loop starts (`app.tracing.export`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

if TYPE_CHECKING:
    from app.tracing.spans import Spans

Attribute = str | int
"""The value of an attribute. Never one that identifies a reader or opens a link."""

SENT: Final = "broadsheet.send.outcome"
"""The attribute that says whether tasks were created, or existed already."""

_SPANS: ContextVar["Spans | None"] = ContextVar("spans", default=None)


class SpanScope(Protocol):
    """A span that is current while its block runs. An exception of the block makes it an error."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes."""

    def fail(self, error_type: str) -> None:
        """Mark the span as an error of this type. The error's text is not recorded: it may contain an address."""


class _NoSpan:
    """Does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        """Do nothing."""

    def fail(self, error_type: str) -> None:
        """Do nothing."""


NO_SPAN: Final[SpanScope] = _NoSpan()
"""The span of a process without traces, and of work whose trace is not recorded."""


def active_spans() -> "Spans | None":
    """Return what writes this process's spans; None without traces."""
    return _SPANS.get()


@contextmanager
def using_spans(spans: "Spans") -> Iterator[None]:
    """Write spans with `spans` while the block runs, also in the tasks that it starts."""
    token = _SPANS.set(spans)
    try:
        yield
    finally:
        _SPANS.reset(token)


def sending(rows: Sequence[dict[str, Any]]) -> SpanScope:
    """Return the span that creates tasks of one kind; adds the `traceparent` of each to its row."""
    spans = _SPANS.get()
    return NO_SPAN if spans is None else spans.send(rows)


def calling(name: str, attributes: Mapping[str, Attribute]) -> SpanScope:
    """Return the span of a call to another server, as part of the current trace; `NO_SPAN` outside a recorded one."""
    spans = _SPANS.get()
    return NO_SPAN if spans is None else spans.client(name, attributes)
