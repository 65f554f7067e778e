"""Child processes of a command: starts them, waits until they are ready, collects their logs and stops them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NoReturn

import httpx

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN = 30.0
STOP_WITHIN = 35.0

OnLogLine = Callable[[str, str], None]
"""Called with a child's name and one line of its log."""


class ChildFailed(Exception):
    """A child process exited or did not become ready; the message contains the end of its log."""


class Child:
    """One `python -m module` with its own environment variables."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, reader: "asyncio.Task[None]", log: list[str]):
        self.name = name
        self._process = process
        self._reader = reader
        self._log = log

    def require_alive(self) -> None:
        """Raise `ChildFailed` if the process has exited."""
        if self._process.returncode is not None:
            raise self.failure()

    def failure(self) -> ChildFailed:
        """The error for a process that exited unexpectedly."""
        log = "\n".join(self._log[-15:])
        return ChildFailed(f"the {self.name} exited with status {self._process.returncode}:\n{log}")

    async def ended(self) -> int:
        """Wait until the process exits and its log is read; returns its exit status."""
        await self._reader
        return await self._process.wait()

    async def stop(self) -> None:
        """Send SIGTERM, and after `STOP_WITHIN` seconds SIGKILL."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader


@asynccontextmanager
async def child(
    name: str,
    module: str,
    settings: Mapping[str, str],
    on_line: OnLogLine,
    *,
    options: Sequence[str] = (),
    folder: Path = ROOT,
) -> AsyncIterator[Child]:
    """Run `python -m module options` with `settings` while the block runs; each line of its log goes to `on_line`.

    It reads further settings from `.env` in `folder`.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "embedded.commands.service", str(os.getpid()), module, *options),
        cwd=folder,
        env={**_inherited(), "PYTHONPATH": str(ROOT), **settings},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches only the command, which stops its children in order
    )
    log: list[str] = []
    started = Child(name, process, asyncio.create_task(_read(name, process, log, on_line)), log)
    try:
        yield started
    finally:
        await started.stop()


async def until_one_ends(children: Iterable[Child]) -> NoReturn:
    """Wait until one of `children` exits. Raises `ChildFailed`."""
    watched = {asyncio.create_task(each.ended()): each for each in children}
    try:
        ended, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in watched:
            task.cancel()
    raise watched[ended.pop()].failure()


async def until_ready(process: Child, address: str) -> None:
    """Wait until the API at `address` is ready. Raises `ChildFailed`."""
    deadline = asyncio.get_running_loop().time() + READY_WITHIN
    async with httpx.AsyncClient(trust_env=False) as http:
        while asyncio.get_running_loop().time() < deadline:
            process.require_alive()
            with suppress(httpx.TransportError):
                if (await http.get(f"{address}/readyz")).is_success:
                    return
            await asyncio.sleep(0.05)
    raise ChildFailed(f"the {process.name} was not ready after {READY_WITHIN:g} s: see {address}/readyz")


async def _read(name: str, process: asyncio.subprocess.Process, log: list[str], on_line: OnLogLine) -> None:
    assert process.stdout is not None  # noqa: S101  (stdout is a pipe)
    async for raw in process.stdout:
        line = raw.decode(errors="replace").rstrip()
        log.append(line)
        del log[:-200]
        on_line(name, line)


def _inherited() -> dict[str, str]:
    """The variables of this environment that children get: the machine's, and keys of models and news sources."""
    prefixes = (
        "PATH",
        "HOME",
        "LANG",
        "LC_",
        "SSL_",
        "TMPDIR",
        "OPENAI_",
        "NEWSAPI_",
        "WEBHOOK_SECRET",
        "MODEL_",
        "USER_AGENT",
        "ARXIV_CATEGORIES",
        "ZOTERO_",
    )
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}
