"""The logs of requests to a language model, as detailed as they get."""

from collections.abc import Callable

import pytest

from app.config import ApiSettings
from app.models.digests import AnalysisMethod
from app.models.profiles import Profile
from app.ranking.ranking import Ranked
from tests.support.analysis import StartAnalyst, completion
from tests.support.logs import development_logs

ANALYSIS = {"summary": "Radar reads the memory of ice.", "key_points": ["Two changes of course.", "No drilling."]}


async def test_detailed_logs_contain_no_prompt(
    start_analyst: StartAnalyst,
    chosen: Callable[[int], list[Ranked]],
    reader: Profile,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = {"supabase_url": "http://127.0.0.1:9", "supabase_key": "sb_secret_x", "api_keys": "ada:ada-key-0123456789"}
    asking = reader.model_copy(update={"interests": ("xyzzy",)})
    analyst, server = await start_analyst(completion(ANALYSIS))
    with development_logs(ApiSettings.model_validate(values | {"log_level": "DEBUG"})):
        result = await analyst.begin(asking).analyse(chosen(1))
    assert [item.analysis for item in result.items] == [AnalysisMethod.MODEL]
    assert any("xyzzy" in str(body) for body in server.bodies)
    printed = capsys.readouterr()
    assert "xyzzy" not in printed.out + printed.err
