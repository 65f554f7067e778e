"""Everything that a soak runs: a project, two APIs, two workers, sources, a mail server, a receiver of callbacks."""

import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from app.days import yesterday
from embedded.loopback import free_port
from embedded.sample.server import serve_sample
from tests.soak.lossy_port import LossyPort
from tests.soak.programs import Program
from tests.soak.project import Emulator, OwnProject, emulator
from tests.support.callback_receiver import Receiver
from tests.support.flaky_server import QUICK, FlakyServer
from tests.support.processes import WEBHOOK_SECRET

SECRETS = {
    "API_KEYS": "soak:marked-secret-api-key",
    "LINK_SECRET": "marked-secret-of-links",
    "WEBHOOK_SECRET": WEBHOOK_SECRET,
}
"""No log, mail, page or row may contain the part of any of these that is secret."""
API_KEY = SECRETS["API_KEYS"].partition(":")[2]
LEASE = 6.0
SIGN_UPS: Final = 12
"""Sign-ups that are accepted within an hour."""
SIGN_UP_LIMITS: Final = {"SIGN_UPS_PER_HOUR": str(SIGN_UPS), "SIGN_UPS_PER_NETWORK": str(SIGN_UPS)}


@dataclass
class System:
    """The running parts. The first API and the first worker are never killed: their memory is measured."""

    folder: Path
    project: Emulator | OwnProject
    sources: LossyPort
    feed: str
    mails: FlakyServer
    receiver: Receiver
    apis: list[Program] = field(default_factory=list)
    workers: list[Program] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    @property
    def kept(self) -> list[Program]:
        """The processes that live for the whole soak."""
        return [self.apis[0], self.workers[0]]

    def worker(self, name: str, *arguments: str) -> Program:
        """A further worker, not started."""
        mail = {
            "MAIL_URL": f"smtp://127.0.0.1:{self.mails.port}",
            "MAIL_FROM": f"Broadsheet <{name}@broadsheet.example>",
        }
        values = _environment(self.project) | mail | {
            "ARXIV_BASE_URL": self.sources.url,
            "CROSSREF_BASE_URL": self.sources.url,
            "FEEDS": f"News={self.sources.url}{self.feed}",
            "LEASE_SECONDS": str(LEASE),
            "SUPABASE_CALL_TIMEOUT": str(LEASE / 3),
            "MAIL_RATE": "1000",
            "DAILY_FETCH_AT": "off",
        }  # fmt: skip
        return Program(name, ("worker", *arguments), values, self.folder / f"{name}.log", "worker started")

    async def start(self) -> None:
        """Start APIs and workers."""
        for port in (free_port(), free_port()):
            values = _environment(self.project) | {"PORT": str(port)} | SIGN_UP_LIMITS
            name = f"api{len(self.apis) + 1}"
            self.apis.append(Program(name, ("app",), values, self.folder / f"{name}.log", "API running on"))
            self.addresses.append(f"http://127.0.0.1:{port}")
        self.workers += [self.worker("worker1"), self.worker("worker2")]
        for program in (*self.apis, *self.workers):
            await program.start()

    async def stop(self) -> None:
        """Stop APIs and workers in order; each has to end with status 0."""
        for program in (*self.workers, *self.apis):
            if await program.end() != 0:
                raise AssertionError(f"{program.name} ended with {program.ends[-1]}:\n{program.news()[-2_000:]}")


def _environment(project: Emulator | OwnProject) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONUNBUFFERED": "1",
        "ENVIRONMENT": "production",
        "SUPABASE_URL": project.url,
        "SUPABASE_KEY": project.key,
        "PUBLIC_URL": "https://digest.example",
        "CALLBACKS_TO_PRIVATE_ADDRESSES": "true",
        "PUBLIC_SIGN_UP": "true",
        **SECRETS,
    }


@asynccontextmanager
async def system(folder: Path, chance: random.Random) -> AsyncIterator[System]:
    """Run everything while the block runs; at its end, kill what is left."""
    async with AsyncExitStack() as opened:
        project: Emulator | OwnProject | None = OwnProject.named_in(os.environ)
        if project is None:
            project = await opened.enter_async_context(emulator(folder / "stack", chance))
        hosts = await opened.enter_async_context(serve_sample(yesterday()))
        mails = FlakyServer(chance, QUICK, thinks=0.02)
        await opened.enter_async_context(mails.serve())
        receiver = Receiver()
        await receiver.start()
        opened.push_async_callback(receiver.stop)
        port = urlsplit(hosts.arxiv_base_url).port
        assert port is not None
        sources = await opened.enter_async_context(LossyPort(port, chance).open())
        running = System(folder, project, sources, urlsplit(hosts.feeds[0].url).path, mails, receiver)
        await running.start()
        try:
            yield running
        finally:
            for program in (*running.apis, *running.workers):
                await program.end(signal.SIGKILL)
