"""Papers for which readers gave only an arXiv id are looked up by workers; unknown ids only once."""

import asyncio
import re
from random import Random
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from supabase import AsyncClient

from app.errors import SourceBusy, SourceError
from app.external.client import open_external
from app.persistence.reader_papers import PaperInput, ReaderPaper
from app.services import Services
from app.sources.arxiv import ArxivSettings, ArxivSource
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.rate_limiter import RateLimiter
from tests.support.feedback import rate, rated
from tests.support.schedule import add_reader
from tests.support.scripted_server import ScriptedServer
from tests.support.source_responses import ATOM_HEAD, reply
from worker.periodic.paper_look_ups import PaperLookUps

MALFORMED, UNKNOWN = "2634.00001", "2611.99999"


class Arxiv:
    """Answers as arXiv does: it omits unknown ids, and refuses a list that contains a malformed id."""

    def __init__(self) -> None:
        self.server = ScriptedServer(self.answer)

    @property
    def requests(self) -> list[list[str]]:
        return [parse_qs(urlsplit(seen.split()[1]).query)["id_list"][0].split(",") for seen in self.server.seen]

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        ids = self.requests[-1]
        if MALFORMED in ids:
            wrong = f"<entry><id>https://arxiv.org/api/errors#incorrect_id_format_for_{MALFORMED}</id></entry>"
            await reply(f"{ATOM_HEAD}{wrong}</feed>".encode(), status=400)(writer)
            return
        entries = "".join(
            f"<entry><id>http://arxiv.org/abs/{each}v2</id><title>Title of {each}</title>"
            f"<summary>Radar reads {each}.</summary></entry>"
            for each in ids
            if each != UNKNOWN
        )
        await reply(f"{ATOM_HEAD}{entries}</feed>".encode())(writer)


async def test_each_paper_id_is_looked_up_once_for_all_readers(client: AsyncClient) -> None:
    services, arxiv = Services.build(client), Arxiv()
    await arxiv.server.start()
    ids = [f"2611.{n:05}" for n in range(1, 130)] + [MALFORMED, UNKNOWN]
    ada, bob = [(await add_reader(client)).reader_id for _ in range(2)]
    for reader, wanted in ((ada, ids), (bob, ids[:3])):
        given = [PaperInput(keys=(f"arxiv:{each}",), arxiv_id=each) for each in wanted]
        await services.reader_papers.put(reader, [(paper, {"liked": True}) for paper in given])
    async with open_external() as http:
        source = ArxivSource(
            HttpFetcher(http, FetchSettings("Broadsheet tests")),
            ArxivSettings(arxiv.server.url),
            RateLimiter(interval=0),
        )

        def periodic_job() -> PaperLookUps:
            return PaperLookUps(
                services.reader_papers, services.rate_limits, services.breakers, source, random=Random(1)
            )

        await asyncio.gather(periodic_job().run_once(), periodic_job().run_once())
        requests = arxiv.requests
        await periodic_job().run_once()
    await arxiv.server.stop()
    assert arxiv.requests == requests, "no request is repeated"
    assert max(map(len, requests)) == 100
    in_answers = [each for some in requests if MALFORMED not in some for each in some]
    assert sorted(in_answers) == sorted(set(ids) - {MALFORMED}), "each in one response"
    for reader, count in ((ada, 129), (bob, 3)):
        learnt = await rated(client, reader)
        assert len(learnt) == count
        assert all(re.fullmatch(r"Title of 2611\.\d{5}", paper.title) and paper.vector for paper in learnt)
    left = {paper.arxiv_id for paper in await all_of(services, ada) if paper.title is None and paper.looked_up_at}
    assert left == {MALFORMED, UNKNOWN}


async def all_of(services: Services, reader_id: UUID) -> list[ReaderPaper]:
    found, cursor = list[ReaderPaper](), None
    while not found or cursor:
        page = await services.reader_papers.page(reader_id, limit=100, cursor=cursor)
        found, cursor = [*found, *page.papers], page.next_cursor
    return found


async def test_no_paper_is_marked_while_arxiv_is_unavailable(client: AsyncClient) -> None:
    services = Services.build(client)
    reader = (await add_reader(client)).reader_id
    await rate(services.reader_papers, reader, PaperInput(keys=("arxiv:2611.00001",), arxiv_id="2611.00001"), True)
    for step in (reply(b"<html>sorry</html>"), reply(status=503), reply(b"nothing", status=400)):
        server = ScriptedServer(step)
        await server.start()
        async with open_external() as http:
            fetcher = HttpFetcher(http, FetchSettings("Broadsheet tests"))
            source = ArxivSource(fetcher, ArxivSettings(server.url), RateLimiter(interval=0))
            periodic_job = PaperLookUps(
                services.reader_papers, services.rate_limits, services.breakers, source, random=Random(1)
            )
            with pytest.raises((SourceError, SourceBusy)):
                await periodic_job.run_once()
        await server.stop()
        assert len(server.seen) == 1
        assert await services.reader_papers.to_look_up(5) == ["2611.00001"]
