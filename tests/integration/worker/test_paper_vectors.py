"""Stored vectors of papers are computed again, once, after the normalisation of words has changed."""

import asyncio
from random import Random

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
