"""The Supabase project of a soak: an emulator, which can fail in every way, or a project of one's own."""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from embedded.loopback import free_port
from embedded.stack import Ready
from tests.soak.lossy_port import LossyPort
from tests.soak.programs import Program, children_of, freeze
from tests.soak.small_disk import SmallDisk, small_disk
from tests.support.stack_process import postgres_over


@dataclass(frozen=True)
class OwnProject:
    """A project that others run: its URL, its server's key, and a connection to its database for the account."""

    url: str
    key: str
    database_url: str

    @classmethod
    def named_in(cls, environment: Mapping[str, str]) -> "OwnProject | None":
        """Return the project that `SUPABASE_URL`, `SUPABASE_KEY` and `DATABASE_URL` name; None without the first."""
        if not (url := environment.get("SUPABASE_URL")):
            return None
        return cls(url, environment["SUPABASE_KEY"], environment["DATABASE_URL"])

    def log(self) -> str:
        """The database's log, which only its owner can read."""
        return ""


@dataclass
class Emulator:
    """The emulator, its disk where a small one can be mounted, and the port on which responses can be lost."""

    folder: Path
    program: Program
    gateway: LossyPort
    disk: SmallDisk | None

    @property
    def url(self) -> str:
        """The address that the service uses."""
        return self.gateway.url

    @property
    def key(self) -> str:
        return _ready(self.program).secret_key

    @property
    def database_url(self) -> str:
        """PostgreSQL's address, whose port changes when it starts again."""
        return _ready(self.program).database_url

    def log(self) -> str:
        """The database's log."""
        return (self.folder / "postgres.log").read_text(errors="replace")

    async def kill_gateway(self) -> None:
        """Kill the gateway; PostgreSQL ends with it."""
        await self.program.end(signal.SIGKILL)
        await self.program.start()

    async def kill_database(self) -> None:
        """Kill PostgreSQL; the gateway notices that and ends."""
        for pid in postgres_over(self.folder):
            os.kill(pid, signal.SIGKILL)
        await self.program.ended()
        await self.program.start()

    async def freeze_database(self, seconds: float) -> None:
        """Stop PostgreSQL with all its sessions for a while."""
        servers = postgres_over(self.folder)
        await freeze([*servers, *(child for pid in servers for child in children_of(pid))], seconds)

    async def lose_responses(self, seconds: float) -> None:
        """Lose a tenth of the responses for a while."""
        self.gateway.losing = 0.1
        await asyncio.sleep(seconds)
        self.gateway.losing = 0.0

    async def fill_disk(self, disk: SmallDisk, seconds: float) -> None:
        """Leave no space for a while: PostgreSQL refuses writes, or ends and starts again when there is space."""
        disk.fill()
        ended = await self.program.ended_within(seconds)
        disk.free()
        if ended:
            await self.program.start()


@asynccontextmanager
async def emulator(folder: Path, chance: random.Random) -> AsyncIterator[Emulator]:
    """Run the emulator over `folder` while the block runs."""
    with small_disk(folder) as disk:
        options = ("--data", str(folder), "--port", str(free_port()))
        values = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
        log = folder.parent / "emulator.log"
        program = Program("emulator", ("embedded", "serve", *options), values, log, '"database_url"')
        await program.start()
        try:
            port = urlsplit(_ready(program).url).port
            assert port is not None
            async with LossyPort(port, chance).open() as gateway:
                yield Emulator(folder, program, gateway, disk)
        finally:
            await program.end()


def _ready(program: Program) -> Ready:
    (line,) = [line for line in program.news().splitlines() if '"database_url"' in line]
    return Ready(**json.loads(line))
