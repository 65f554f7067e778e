"""The client library of language models starts no thread, also at its first request."""

from collections.abc import Callable

from app.models.digests import AnalysisMethod
from app.models.profiles import Profile
from app.ranking.ranking import Ranked
from tests.support.analysis import StartAnalyst, completion
from tests.support.refused_threads import no_threads

ANALYSIS = {"summary": "Radar reads the memory of ice.", "key_points": ["Two changes of course.", "No drilling."]}


async def test_the_first_request_to_a_model_starts_no_thread(
    start_analyst: StartAnalyst, chosen: Callable[[int], list[Ranked]], reader: Profile
) -> None:
    analyst, server = await start_analyst(completion(ANALYSIS))
    with no_threads() as refused:
        result = await analyst.begin(reader).analyse(chosen(1))
    assert [item.analysis for item in result.items] == [AnalysisMethod.MODEL]
    assert "x-stainless-os: unknown" in server.heads[0].lower()
    assert refused == []
