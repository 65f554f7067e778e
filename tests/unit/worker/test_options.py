"""The options of `python -m worker`."""

from datetime import timedelta
from pathlib import Path

import pytest

from worker.options import OneShotOptions, parse_options


def test_without_options_it_runs_permanently() -> None:
    assert parse_options([]) is None


def test_one_run_has_defaults() -> None:
    expected = OneShotOptions(timedelta(hours=24), timedelta(minutes=10), None, False, "default")
    assert parse_options(["--once"]) == expected


def test_every_option_of_one_run_is_read() -> None:
    options = ["--once", "--ahead", "2d", "--wait", "0s", "--readers", "r.toml", "--prune", "--owner", "ada"]
    expected = OneShotOptions(timedelta(days=2), timedelta(0), Path("r.toml"), True, "ada")
    assert parse_options(options) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ahead", "2h"], "--ahead needs --once"),
        (["--prune"], "--prune needs --once"),
        (["--once", "--prune"], "--prune needs --readers"),
        (["--once", "--ahead", "0h"], "use more than 0 and at most 7 days"),
        (["--once", "--ahead", "8d"], "use more than 0 and at most 7 days"),
        (["--once", "--wait", "10"], "'10' is not a duration: write a number and s, m, h or d, such as 10m"),
        (["--once", "--wait", "-1m"], "error: argument --wait: "),
    ],
)
def test_an_invalid_option_is_explained(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options(options)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
