"""Runs the emulator, the API and a worker together, for `make up` and `make digest`."""

import os
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import httpx

from app.config import WorkerSettings
from app.sources.feeds import DEFAULT_FEEDS
from embedded.commands.child_processes import ROOT, Child, OnLogLine, child, until_ready
from embedded.loopback import LOOPBACK, free_port
from embedded.sample.server import serve_sample
from embedded.stack import Ready, Stack, StackOptions
from scripts.migrate import MIGRATIONS

LOCAL = ROOT / ".local"
ARXIV = "https://export.arxiv.org/api/query?max_results=1&search_query=cat:cs.AI"
PROBE_SECONDS = 3.0
GRACE = "3"


@dataclass(frozen=True)
class LocalService:
    """The running processes and their addresses."""

    stack: Ready
    api: str
    api_key: str
    children: tuple[Child, ...]
    sample: bool
    mailbox: Path
    """The folder to which readers' mails are written."""
    link_secret: str
    """The secret that signs readers' links."""


async def sources_reachable() -> bool:
    """Whether arXiv responds within `PROBE_SECONDS`."""
    try:
        async with httpx.AsyncClient(timeout=PROBE_SECONDS) as http:
            return (await http.get(ARXIV)).is_success
    except httpx.HTTPError:
        return False


@asynccontextmanager
async def source_settings(day: date, *, live: bool, categories: Sequence[str]) -> AsyncIterator[dict[str, str]]:
    """Yield the worker's settings for its sources; unless `live`, they lead to the sample edition, served meanwhile.

    arXiv is asked for `categories` besides those of `ARXIV_CATEGORIES`, because readers' categories only rank.
    """
    if live:
        yield {"ARXIV_CATEGORIES": ",".join(dict.fromkeys((*_configured_categories(), *categories)))}
        return
    async with serve_sample(day) as hosts:
        feeds = [feed for feed in hosts.feeds if feed.name in {default.name for default in DEFAULT_FEEDS}]
        yield {
            "ARXIV_BASE_URL": hosts.arxiv_base_url,
            "NEWSAPI_BASE_URL": hosts.newsapi_base_url,
            "BIORXIV_BASE_URL": hosts.arxiv_base_url,
            "CROSSREF_BASE_URL": hosts.arxiv_base_url,
            "FEEDS": ",".join(f"{feed.name}={feed.url}" for feed in feeds),
        }


def _configured_categories() -> Sequence[str]:
    configured = os.environ.get("ARXIV_CATEGORIES", "")
    default: tuple[str, ...] = WorkerSettings.model_fields["arxiv_categories"].default
    return [name.strip() for name in configured.split(",") if name.strip()] or default


@asynccontextmanager
async def local_service(
    day: date,
    on_line: OnLogLine,
    *,
    live: bool,
    ports: Mapping[str, int] | None = None,
    folder: Path = LOCAL,
    daily: bool = True,
    categories: Sequence[str] = (),
) -> AsyncIterator[LocalService]:
    """Run everything while the block runs; unless `live`, the bundled sample edition replaces the sources.

    Unless `daily`, the worker fetches only the days that digests need. arXiv is also asked for the `categories`.

    Sample and real editions have separate databases below `folder`.

    Raises `ChildFailed`, `PostgresError`.
    """
    chosen = ports or {}
    async with AsyncExitStack() as running:
        stack = Stack(StackOptions(folder / ("live" if live else "sample"), chosen.get("stack", 0), MIGRATIONS))
        ready = await stack.start()
        running.push_async_callback(stack.stop)
        sources = await running.enter_async_context(source_settings(day, live=live, categories=categories))
        api_key = secrets.token_urlsafe(24)
        port = chosen.get("api") or free_port()
        address = f"http://{LOOPBACK}:{port}"
        mailbox = folder / "mailbox"
        link_secret = _link_secret(folder)
        common = {
            "SUPABASE_URL": ready.url,
            "SUPABASE_KEY": ready.secret_key,
            "PUBLIC_URL": address,
            "LINK_SECRET": link_secret,
            "PYTHONUNBUFFERED": "1",
        }
        mail = {"MAIL_URL": f"folder:{mailbox}", "MAIL_FROM": "Broadsheet <digest@broadsheet.example>"}
        fetches = {} if daily else {"DAILY_FETCH_AT": "off"}
        api = await running.enter_async_context(
            child("api", "app", common | {"API_KEYS": api_key, "ADMINS": "default", "PORT": str(port)}, on_line)
        )
        worker = await running.enter_async_context(
            child("worker", "worker", common | sources | mail | fetches | {"GRACE_PERIOD": GRACE}, on_line)
        )
        await until_ready(api, address)
        yield LocalService(
            ready, address, api_key, (api, worker), sample=not live, mailbox=mailbox, link_secret=link_secret
        )


def _link_secret(folder: Path) -> str:
    """The secret that signs readers' links, kept in a file so that links in older mails stay valid."""
    file = folder / "link-secret"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24), encoding="utf-8")
    return file.read_text(encoding="utf-8")
