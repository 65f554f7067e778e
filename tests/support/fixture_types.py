"""Types of fixtures that several packages use."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from app.config import SupabaseSettings
from embedded.stack import Ready
from tests.support.scripted_server import ScriptedServer, Step

ReadFile = Callable[[str], bytes]


class Serve(Protocol):
    def __call__(self, *steps: Step) -> Awaitable[ScriptedServer]: ...


class StartServer(Protocol):
    def __call__(self, *steps: Step, close_on_accept: bool = False) -> Awaitable[ScriptedServer]: ...


class MakeSettings(Protocol):
    def __call__(self, url: str, **changes: object) -> SupabaseSettings: ...


class StartStack(Protocol):
    def __call__(self, version: str, binaries: Path | None = None) -> Ready: ...
