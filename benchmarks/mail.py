"""Mails: CPU time to write one, and its longest step that blocks the event loop. Nothing is sent.

Each mail is written as for a delivery: from the stored document, with links signed for its reader, to bytes.
"""

import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import uvloop

from app.config.mail_address import Mailbox
from app.digest.rendering import DigestRenderer
from app.links import Links
from app.mail.message import message_bytes
from app.models.articles import Article, EditionStatus
from app.models.digests import AnalysisMethod, Digest, DigestItem
from app.models.profiles import MAX_ITEMS, Profile
from app.persistence.deliveries import MailParts
from benchmarks.digest import edition
from benchmarks.loop_steps import loop_steps
from benchmarks.report import save, show, verdict
from worker.handlers.delivery import MailWriter

MAILS = 100
AIM_CPU_MS, AIM_STEP_MS = 4.0, 5.0
SIZES = {"24 items": (18, 6), f"{2 * MAX_ITEMS} items, the most": (MAX_ITEMS, MAX_ITEMS)}
DAY = date(2026, 11, 24)


def item_of(article: Article) -> DigestItem:
    """An item as the extractive analysis writes it: three sentences, and three more as key points."""
    sentences = article.abstract.split(". ")
    return DigestItem(
        article=article,
        score=0.5,
        reason="matches: graph neural networks, robustness; category cs.LG",
        summary=". ".join(sentences[:3]),
        key_points=tuple(sentences[3:6]),
        analysis=AnalysisMethod.EXTRACTIVE,
    )


def parts(papers: int, news: int) -> MailParts:
    """The result of `begin_sending()` for a delivery with `papers` and `news` items."""
    items = [item_of(article) for article in edition()[: papers + news]]
    digest = Digest(
        source_date=DAY,
        profile=Profile(name="Ada"),
        introduction="Of the 500 papers, these were selected for you.",
        papers=tuple(items[:papers]),
        news=tuple(items[papers:]),
        considered=500,
        edition_status=EditionStatus.COMPLETED,
    )
    return MailParts(
        delivery_id=UUID(int=1),
        reader_id=UUID(int=2),
        kind="digest",
        local_day=DAY,
        created_at=datetime(2026, 11, 24, 6, tzinfo=UTC),
        name="Ada",
        email="ada@example.org",
        link_generation=1,
        digest=digest.model_dump(mode="json"),
    )


async def longest_step(work: Callable[[], Awaitable[Any]]) -> float:
    """CPU seconds of the longest iteration of the event loop while `work` runs."""
    async with loop_steps() as steps:
        await work()
    return max(steps)


async def measure(papers: int, news: int) -> dict[str, float]:
    """Medians of many mails of one size."""
    writer = MailWriter(
        Mailbox("digest@example.org"), Links(["0123456789abcdef"], "https://example.org"), DigestRenderer()
    )
    content, cpu, steps, size = parts(papers, news), [], [], 0

    async def write() -> bytes:
        message, _ = await writer.write(content)
        return message_bytes(message)

    for _ in range(MAILS):
        began = time.thread_time()
        size = len(await write())
        cpu.append(time.thread_time() - began)
        steps.append(await longest_step(write))
    return {
        "cpu_ms": statistics.median(cpu) * 1e3,
        "longest_step_ms": statistics.median(steps) * 1e3,
        "kb": size / 1e3,
    }


def main() -> None:
    """Measure, print and save."""
    gc.freeze()
    found = {name: uvloop.run(measure(*size)) for name, size in SIZES.items()}
    show(
        f"mail: {MAILS} mails of each size, written one after the other; medians",
        ["mail of", "CPU, ms", "longest step, ms", "kB"],
        [[name, *(f"{value:.2f}" for value in each.values())] for name, each in found.items()],
    )
    usual, most = found.values()
    print(f"cpu of 24 items, aim {AIM_CPU_MS:g} ms: {verdict(usual['cpu_ms'] <= AIM_CPU_MS)}")
    print(f"longest step, aim {AIM_STEP_MS:g} ms: {verdict(most['longest_step_ms'] <= AIM_STEP_MS)}")
    save("mail", found)


if __name__ == "__main__":
    main()
