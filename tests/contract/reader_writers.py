"""More kinds of call that write several rows of readers, each time in another order."""

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID, uuid4

from app.errors import ConfirmationLimitReached, NotUnconfirmed, ReaderNotFound, TooManyUploads, UploadInProgress
from app.persistence.confirmations import Confirmations
from app.persistence.items import Items
from app.persistence.reader_libraries import ReaderLibraries
from app.persistence.reader_papers import ReaderPapers
from app.persistence.readers import Reader, Readers, ReaderStatus
from app.persistence.readers_file import FileEntry, ReadersFile
from app.persistence.uploads import Uploads
from tests.contract.writers import ADDRESS, NAMES, Writer, Writing
from tests.support.confirmations import confirm, sign_up
from tests.support.schedule import OWNER

STATUSES: Final = frozenset({ReaderStatus.ACTIVE, ReaderStatus.PAUSED})
TODAY: Final = date(2026, 11, 24)


async def readers_of(writing: Writing, most: int) -> list[Reader]:
    """Some of the readers, in this writer's order."""
    return writing.shuffled(*await Readers(writing.client).page(OWNER))[:most]


async def stores_vectors(writing: Writing) -> None:
    papers = ReaderPapers(writing.client)
    outdated = writing.shuffled(*await papers.outdated_vectors("9:", 50))
    await papers.put_vectors("9:", {paper.paper_id: "9:AA" for paper in outdated[:20]})


async def ranks(writing: Writing) -> None:
    for reader in await readers_of(writing, 6):
        await Items(writing.client).new_items_for(reader.reader_id, TODAY, TODAY)


async def applies_file(writing: Writing) -> None:
    file = ReadersFile(writing.client)
    names = writing.shuffled(*NAMES, "in-file")[:8]
    values = {"name": str(uuid4()), "email": ADDRESS, "timezone": "UTC", "send_at": "07:00", "profile": {}}
    await file.apply(OWNER, [FileEntry(name, values) for name in names], {"profile": {}})
    await file.missing(OWNER, names[:6], pause=writing.chance.random() < 0.5)
    for reader in await readers_of(writing, 2):
        await ReaderLibraries(writing.client).record_file_library(reader.reader_id, {"id": str(uuid4())})


async def changes_readers(writing: Writing) -> None:
    readers = Readers(writing.client)
    for reader in await readers_of(writing, 6):
        with suppress(ReaderNotFound):
            await _change(readers, reader.reader_id, writing)
            await ReaderLibraries(writing.client).begin_check(reader.reader_id, uuid4())


async def _change(readers: Readers, reader_id: UUID, writing: Writing) -> None:
    await readers.change(reader_id, {"email": writing.chance.choice([ADDRESS, f"{uuid4()}@example.org"])})
    await readers.change_status(reader_id, writing.chance.choice(sorted(STATUSES)), None, from_statuses=STATUSES)
    await readers.revoke_links(reader_id, await readers.link_generation(reader_id))


async def confirms(writing: Writing) -> None:
    """Sign up twice, then confirm or ask again for some readers; most of them are not unconfirmed."""
    for address in writing.shuffled(ADDRESS, f"{uuid4()}@example.org"):
        await sign_up(writing.client, address)
    found = await Readers(writing.client).page(OWNER, status=ReaderStatus.UNCONFIRMED)
    for reader in [*writing.shuffled(*found)[:4], *await readers_of(writing, 2)]:
        with suppress(ReaderNotFound, NotUnconfirmed, ConfirmationLimitReached):
            await confirm(writing.client, reader, day=datetime.now(UTC).date())
            await Confirmations(writing.client).resend(reader.reader_id)


async def abandons_uploads(writing: Writing) -> None:
    for reader in await readers_of(writing, 3):
        upload_id = uuid4()
        with suppress(ReaderNotFound, UploadInProgress, TooManyUploads):
            await Uploads(writing.client).open(upload_id, OWNER, reader.reader_id, None)
            await Uploads(writing.client).discard(upload_id)


READER_WRITERS: Final[tuple[Writer, ...]] = (
    stores_vectors,
    ranks,
    applies_file,
    changes_readers,
    confirms,
    abandons_uploads,
)
