"""The service's processes as children of a command: started on free ports, waited for, logged, ended by pid."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NoReturn

import httpx

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN = 30.0
STOP_WITHIN = 35.0

OnLine = Callable[[str, str], None]
"""Called with a child's name and a line of its log."""


class ChildFailed(Exception):
    """A child process ended, or did not become ready; the text says what it logged last."""


class Child:
    """`python -m module` with an environment of its own."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, reader: "asyncio.Task[None]", log: list[str]):
        self.name = name
        self._process = process
        self._reader = reader
        self._log = log

    def require_alive(self) -> None:
        """Raise `ChildFailed` if it has ended."""
        if self._process.returncode is not None:
            raise self.failure()

    def failure(self) -> ChildFailed:
        """What to raise when it has ended by itself."""
        said = "\n".join(self._log[-15:])
        return ChildFailed(f"the {self.name} ended with exit status {self._process.returncode}:\n{said}")

    async def ended(self) -> None:
        """Wait until it ends by itself."""
        await self._process.wait()

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL if that is not enough."""
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
async def child(name: str, module: str, settings: Mapping[str, str], on_line: OnLine) -> AsyncIterator[Child]:
    """Run `python -m module` with `settings` while the block runs; whatever it logs goes to `on_line`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "embedded.commands.service", str(os.getpid()), module),
        cwd=ROOT,
        env={**_inherited(), **settings},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for the command, which stops its children in order
    )
    log: list[str] = []
    started = Child(name, process, asyncio.create_task(_read(name, process, log, on_line)), log)
    try:
        yield started
    finally:
        await started.stop()


async def until_one_ends(children: Iterable[Child]) -> NoReturn:
    """Wait until one of `children` ends by itself. Raises `ChildFailed`."""
    watched = {asyncio.create_task(each.ended()): each for each in children}
    try:
        ended, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in watched:
            task.cancel()
    raise watched[ended.pop()].failure()


async def until_ready(process: Child, address: str) -> None:
    """Wait until an API answers that it is ready. Raises `ChildFailed`."""
    deadline = asyncio.get_running_loop().time() + READY_WITHIN
    async with httpx.AsyncClient(trust_env=False) as http:
        while asyncio.get_running_loop().time() < deadline:
            process.require_alive()
            with suppress(httpx.TransportError):
                if (await http.get(f"{address}/readyz")).is_success:
                    return
            await asyncio.sleep(0.05)
    raise ChildFailed(f"the {process.name} was not ready within {READY_WITHIN:g} s: see {address}/readyz")


async def _read(name: str, process: asyncio.subprocess.Process, log: list[str], on_line: OnLine) -> None:
    assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
    async for raw in process.stdout:
        line = raw.decode(errors="replace").rstrip()
        log.append(line)
        del log[:-200]
        on_line(name, line)


def _inherited() -> dict[str, str]:
    """What children keep of this environment: the machine's own variables, and keys for models and news."""
    kept = (
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
    )
    return {name: value for name, value in os.environ.items() if name.startswith(kept)}
