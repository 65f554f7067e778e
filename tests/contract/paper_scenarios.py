"""Scenarios of `test_repeated_writes.py` for feedback on papers, each write repeated a given number of times."""

from supabase import AsyncClient

from app.persistence.reader_papers import PaperInput, ReaderPapers
from tests.contract.scenarios import OTHER, TASK, scenario
from tests.support.feedback import rate, rated
from tests.support.schedule import add_reader

VOTING = ("put", "save", "feedback_on", "get", "remove", "page", "saved", "saved_version")


@scenario(*(f"ReaderPapers.{name}" for name in VOTING))
async def voting(client: AsyncClient, times: int) -> None:
    await add_reader(client, reader_id=str(TASK), external_id="ada")
    papers = ReaderPapers(client)
    first, second = [PaperInput(keys=(f"arxiv:{n}",), arxiv_id=str(n), title="T", vector="AAAA") for n in range(2)]
    made = [await papers.put(TASK, [(first, {"liked": True}), (second, {"saved": True})]) for _ in range(times)]
    both = made[0]
    for _ in range(times):
        assert await rate(papers, TASK, second, False) == both[1]
    for _ in range(times):
        assert await papers.save(TASK, first, True) == both[0]
    for _ in range(times):
        assert await papers.save(TASK, second, False) == both[1]
    assert [said.liked for said in await papers.feedback_on(TASK, [first.keys, second.keys])] == [True, False]
    assert [paper.paper_id for paper in (await papers.saved(TASK)).papers] == both[:1]
    assert {await papers.saved_version(TASK) for _ in range(times)} == {await papers.saved_version(TASK)}
    assert len(await rated(client, TASK)) == len((await papers.page(TASK)).papers) == 2
    assert (await papers.get(TASK, both[1] or OTHER)).liked is False
    for _ in range(times):
        await papers.remove(TASK, both[1] or OTHER)


@scenario("ReaderPapers.to_look_up", "ReaderPapers.record_looked_up")
async def looking_up(client: AsyncClient, times: int) -> None:
    await add_reader(client, reader_id=str(TASK), external_id="ada")
    papers = ReaderPapers(client)
    known, unknown = [PaperInput(keys=(f"arxiv:{n}",), arxiv_id=str(n)) for n in range(2)]
    await papers.put(TASK, [(known, {"liked": True}), (unknown, {"liked": True})])
    for _ in range(times):
        assert await papers.to_look_up(5) == ["0", "1"]
    for _ in range(times):
        await papers.record_looked_up(["0", "1"], [known.model_copy(update={"title": "T", "abstract": "A"})])
        assert await papers.to_look_up(5) == []


@scenario("ReaderPapers.dois_to_look_up", "ReaderPapers.record_looked_up")
async def looking_up_dois(client: AsyncClient, times: int) -> None:
    await add_reader(client, reader_id=str(TASK), external_id="ada")
    papers = ReaderPapers(client)
    known, unknown = [PaperInput(keys=(f"doi:10.1/{n}",), doi=f"10.1/{n}") for n in range(2)]
    preprint = PaperInput(keys=("arxiv:1", "doi:10.1/2"), arxiv_id="1", doi="10.1/2")
    await papers.put(TASK, [(paper, {"liked": True}) for paper in (known, unknown, preprint)])
    for _ in range(times):
        assert await papers.dois_to_look_up(5) == ["10.1/0", "10.1/1"]
    for _ in range(times):
        found = known.model_copy(update={"title": "T", "abstract": "A"})
        await papers.record_looked_up([], [found], dois=["10.1/0", "10.1/1", "10.1/2"])
        assert await papers.dois_to_look_up(5) == []
    titles = {paper.doi: (paper.title, bool(paper.looked_up_at)) for paper in (await papers.page(TASK)).papers}
    assert titles == {"10.1/0": ("T", True), "10.1/1": (None, True), "10.1/2": (None, False)}


@scenario("ReaderPapers.outdated_vectors", "ReaderPapers.put_vectors")
async def rebuilding_vectors(client: AsyncClient, times: int) -> None:
    await add_reader(client, reader_id=str(TASK), external_id="ada")
    papers = ReaderPapers(client)
    vectors = ("AAAA", "zAAA", "2:AA", "")
    given = [PaperInput(keys=(f"arxiv:{n}",), title=f"T{n}", vector=vector) for n, vector in enumerate(vectors)]
    await papers.put(TASK, [(paper, {"liked": True}) for paper in given])
    outdated = await papers.outdated_vectors("2:", 5)
    for _ in range(times):
        assert {paper.title for paper in outdated} == {"T0", "T1"}
        assert len(await papers.outdated_vectors("2:", 1)) == 1
    for _ in range(times):
        assert await papers.put_vectors("2:", dict.fromkeys(outdated, "2:BB")) == 2
    assert await papers.put_vectors("2:", dict.fromkeys(outdated, "2:CC")) == 2, "they stay as they are"
    assert await papers.outdated_vectors("2:", 5) == []
    assert sorted(paper.vector for paper in await rated(client, TASK)) == ["2:AA", "2:BB", "2:BB"]
