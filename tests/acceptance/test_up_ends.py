"""`make up` can be stopped at any moment and in any way, without a traceback, a leftover process or an open port."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from embedded.commands.up import main
from embedded.loopback import free_port, listen

ROOT = Path(__file__).parents[2]
KILLED = -signal.SIGKILL
ENDED = {0, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP}
"""A normal exit, or death by the signal before anything ran."""


@pytest.fixture
def folder(stack_folder: Path) -> Iterator[Path]:
    """Where it keeps its database: an unprivileged PostgreSQL may enter it."""
    folder = stack_folder / uuid4().hex
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


class Up:
    """`make up`'s process: its output and its descendants."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.text = ""

    async def until(self, pattern: str) -> None:
        """Wait until its output matches `pattern`."""
        assert self.process.stdout is not None
        while not re.search(pattern, self.text):
            line = await self.process.stdout.readline()
            assert line, f"it ended before {pattern!r}:\n{self.text}"
            self.text += line.decode()

    async def ended(self) -> int:
        """Wait until it has ended; returns its exit status."""
        assert self.process.stdout is not None
        self.text += (await self.process.stdout.read()).decode()
        return await self.process.wait()

    def family(self) -> list[int]:
        """Descriptors of all its descendants, which become readable as these end."""
        parents = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, IndexError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        found, new = list[int](), {self.process.pid}
        while new := {pid for pid, parent in parents.items() if parent in new}:
            found += new
        descriptors = []
        for pid in found:
            with suppress(ProcessLookupError):
                descriptors.append(os.pidfd_open(pid))
        return descriptors


@asynccontextmanager
async def started(folder: Path, *options: str, default_port: bool = False, **settings: str) -> AsyncIterator[Up]:
    """`make up`, on a free port: of two tests that run at once, only one can listen on the default port."""
    if not default_port:
        settings.setdefault("port", str(free_port()))
    command = [sys.executable, *options, "-m", "embedded.commands", "up", "--offline", "--folder", str(folder)]
    process = await asyncio.create_subprocess_exec(
        *command,
        *(part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", value)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield Up(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def is_made(folder: Path, name: str) -> bool:
    try:
        return any(folder.rglob(name))
    except FileNotFoundError:  # a folder was renamed while it was searched
        return False


async def all_ended(descriptors: list[int]) -> None:
    """Wait until the processes behind these have ended."""
    loop = asyncio.get_running_loop()
    for descriptor in descriptors:
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
        loop.remove_reader(descriptor)
        os.close(descriptor)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
async def test_child_processes_end_with_up(how: signal.Signals, used_folder: Path) -> None:
    port = free_port()
    async with started(used_folder, port=str(port)) as up:
        await up.until("a reader's page: ")
        family = up.family()
        assert len(family) >= 3, "PostgreSQL, the API and the worker"
        up.process.send_signal(how)
        assert await up.ended() == (KILLED if how == signal.SIGKILL else 0), up.text
        await all_ended(family)
    listen(port).close()
    assert "Traceback" not in up.text


@pytest.mark.parametrize("moment", ["import .*pydantic", "import .*embedded.commands.up", "starting the database"])
async def test_ctrl_c_is_clean_while_it_starts(moment: str, folder: Path) -> None:
    async with started(folder, "-v") as up:
        await up.until(moment)
        family = up.family()
        up.process.send_signal(signal.SIGINT)
        assert await up.ended() in ENDED, up.text[-3000:]
        await all_ended(family)
    assert "Traceback" not in up.text


@pytest.mark.parametrize("moment", ["cluster", "jwt-secret", "link-secret"])
async def test_ctrl_c_is_clean_while_the_database_starts(moment: str, folder: Path) -> None:
    async with started(folder) as up:
        # Each of these files is created at a different step of the start.
        while not is_made(folder, moment):
            await asyncio.sleep(0.01)
        family = up.family()
        up.process.send_signal(signal.SIGINT)
        assert await up.ended() == 0, up.text
        await all_ended(family)
    assert "Traceback" not in up.text
    assert "stopping" in up.text


async def test_a_second_ctrl_c_ends_up_immediately(used_folder: Path) -> None:
    async with started(used_folder) as up:
        await up.until("a reader's page: ")
        family = up.family()
        up.process.send_signal(signal.SIGINT)
        await up.until("stopping")
        up.process.send_signal(signal.SIGINT)
        assert await up.ended() in {0, 130}
        await all_ended(family)
    assert "Traceback" not in up.text


async def test_a_taken_default_port_is_replaced_by_a_free_one(used_folder: Path) -> None:
    with ExitStack() as taken:
        with suppress(OSError):  # another program may already use it
            taken.enter_context(listen(8000)).listen()
        async with started(used_folder, default_port=True) as up:
            await up.until("API +http://127.0.0.1:(?!8000 )")
            up.process.send_signal(signal.SIGTERM)
            assert await up.ended() == 0


@pytest.mark.parametrize("variable", ["PORT", "STACK_PORT"])
def test_a_taken_configured_port_is_reported(variable: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process: a new one imports the program for a second to print one line."""
    with listen(0) as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        option = f"--{variable.lower().replace('_', '-')}"
        assert main(["--offline", "--folder", str(tmp_path), option, port]) == 1
    message = " ".join(capsys.readouterr().out.split())
    assert f"stopped: {variable} is {port}, but another program uses that port: choose another port" in message


async def test_make_up_ends_with_make(used_folder: Path) -> None:
    """When `make` is killed, the processes of its recipe get another parent."""
    # The shell simulates make.
    command = [
        sys.executable,
        "-m",
        "embedded.commands",
        "up",
        "--end-with-parent",
        "--offline",
        "--folder",
        str(used_folder),
        "--port",
        str(free_port()),
    ]
    parent = await asyncio.create_subprocess_exec(
        *("sh", "-c", '"$@" & wait; true', "sh", *command), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    up = Up(parent)
    await up.until("a reader's page: ")
    family = up.family()
    parent.kill()
    await all_ended(family)
    await parent.wait()
