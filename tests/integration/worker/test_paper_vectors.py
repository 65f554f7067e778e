"""Stored vectors of papers are computed again, once, after the normalisation of words has changed."""

import asyncio
from random import Random

import asyncpg
from supabase import AsyncClient

from app.persistence.reader_papers import PaperInput
from app.ranking.vectors import MARK, vector_of
from app.services import Services
from tests.support.feedback import rated
from tests.support.schedule import add_reader
from worker.periodic.paper_vectors import PaperVectors


async def test_outdated_vectors_are_rebuilt_from_their_texts(client: AsyncClient) -> None:
    services = Services.build(client)
    reader = (await add_reader(client)).reader_id
    given = [
        PaperInput(keys=(f"arxiv:{n}",), title=f"LLMs of {n}", abstract="Of ice.", vector="AAAA") for n in range(250)
    ]
    given.append(PaperInput(keys=("arxiv:wordless",), title="…", vector="AAAA"))
    for start in (0, 200):
        await services.reader_papers.put(reader, [(each, {"liked": True}) for each in given[start : start + 200]])
    job = PaperVectors(services.reader_papers, random=Random(1))
    await asyncio.gather(job.run_once(), job.run_once())
    found = {paper.title: paper.vector for paper in await rated(client, reader)}
    assert found.pop("…") == MARK
    assert found == {each.title: vector_of(each.title or "", each.abstract) for each in given[:250]}
    assert await services.reader_papers.outdated_vectors(MARK, 5) == []


async def test_a_vector_of_an_earlier_text_is_not_stored(client: AsyncClient, database: asyncpg.Connection) -> None:
    papers = Services.build(client).reader_papers
    reader = (await add_reader(client)).reader_id
    paper = PaperInput(keys=("arxiv:1",), title="Ice", abstract="Of ice.", vector="AAAA")
    await papers.put(reader, [(paper, {"liked": True})])
    (read,) = await papers.outdated_vectors(MARK, 5)
    await database.execute("update public.reader_papers set title = 'Looms' where true")
    assert await papers.put_vectors(MARK, {read: vector_of("Ice", "Of ice.")}) == 0
    assert [found.title for found in await papers.outdated_vectors(MARK, 5)] == ["Looms"]
