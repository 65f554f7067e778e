"""Papers for which readers gave only an arXiv id are looked up by workers; unknown ids only once."""

import asyncio
import re
from random import Random
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg
import pytest
from aiohttp import web
from supabase import AsyncClient

from app.api.paper_models import PaperRequest
from app.errors import SourceBusy, SourceError
from app.external.client import open_external
from app.persistence.reader_papers import PaperInput, ReaderPaper
from app.ranking.reader_paper import paper_of
from app.services import Services
from app.sources.arxiv import ArxivSettings, ArxivSource
from app.sources.crossref import Crossref, CrossrefSettings
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.rate_limiter import RateLimiter
from tests.support.fake_crossref import FakeCrossref, work
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


async def test_a_paper_named_by_doi_gets_its_title_once(client: AsyncClient, database: asyncpg.Connection) -> None:
    services, names = Services.build(client), [f"10.1000/paper.{n}" for n in range(60)]
    ada, bob = [(await add_reader(client)).reader_id for _ in range(2)]
    arxivs_own = PaperRequest(doi="10.48550/arXiv.2611.00001", liked=True).article
    for reader, wanted in ((ada, names), (bob, names[:3])):
        given = [paper_of(PaperRequest(doi=name, liked=True).article) for name in wanted]
        await services.reader_papers.put(reader, [(paper, {"liked": True}) for paper in given])
    await rate(services.reader_papers, ada, paper_of(arxivs_own), True)
    works = {name: work(name) for name in names[:-1]}
    async with FakeCrossref(works).serve() as fake, open_external() as http:
        fetcher = HttpFetcher(http, FetchSettings("Broadsheet tests"))
        limiter = RateLimiter(0.0, name="crossref", permits=services.rate_limits)
        crossref = Crossref(fetcher, CrossrefSettings(fake.url), limiter)
        source = ArxivSource(fetcher, ArxivSettings(fake.url), RateLimiter(interval=0))

        def periodic_job() -> PaperLookUps:
            common = (services.reader_papers, services.rate_limits, services.breakers, source, crossref)
            return PaperLookUps(*common, random=Random(1))

        await asyncio.gather(periodic_job().run_once_for_dois(), periodic_job().run_once_for_dois())
        await periodic_job().run_once_for_dois()
    assert sorted(name for listed in fake.listed for name in listed) == sorted(names), "each once, no arXiv id"
    assert max(map(len, fake.listed)) == 25
    for reader, count in ((ada, 59), (bob, 3)):
        learnt = [paper for paper in await all_of(services, reader) if paper.title]
        assert len(learnt) == count
        assert all(paper.title == f"The Paper & Theory of {paper.doi}" and paper.publication for paper in learnt)
    without = [paper for paper in await all_of(services, ada) if not paper.title]
    untitled = {paper.doi or paper.arxiv_id: bool(paper.looked_up_at) for paper in without}
    assert untitled == {names[-1]: True, "10.48550/arxiv.2611.00001": False}
    assert await services.reader_papers.to_look_up(5) == ["2611.00001"], "arXiv's own DOI is an arXiv id"
    keys = await database.fetchval("select count(*) from public.reader_paper_keys where key like 'title:%'")
    assert keys == 62


async def test_no_doi_is_marked_while_crossref_is_unavailable(client: AsyncClient) -> None:
    services = Services.build(client)
    reader = (await add_reader(client)).reader_id
    await rate(services.reader_papers, reader, PaperInput(keys=("doi:10.1000/1",), doi="10.1000/1"), True)
    async with FakeCrossref({}).serve() as fake, open_external() as http:
        fetcher = HttpFetcher(http, FetchSettings("Broadsheet tests"))
        crossref = Crossref(fetcher, CrossrefSettings(fake.url), RateLimiter(0.0, name="crossref"))
        source = ArxivSource(fetcher, ArxivSettings(fake.url), RateLimiter(interval=0))
        common = (services.reader_papers, services.rate_limits, services.breakers, source, crossref)
        fake.failures = [web.Response(text="<html>sorry</html>"), web.Response(status=500)]
        for _ in range(2):
            with pytest.raises(SourceError):
                await PaperLookUps(*common, random=Random(1)).run_once_for_dois()
            assert await services.reader_papers.dois_to_look_up(5) == ["10.1000/1"]
