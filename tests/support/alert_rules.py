"""The alerting rules of docs/alerts.yml on scraped metrics, evaluated by a small parser, and by promtool if present."""

import asyncio
import re
import shutil
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client.parser import text_string_to_metric_families

ALERTS: Final = Path(__file__).parents[2] / "docs" / "alerts.yml"
PROMTOOL: Final = shutil.which("promtool")
"""Prometheus' own tool, from Debian's package `prometheus`."""

GROUP: Final = "broadsheet-conditions"
_EXPRESSION: Final = re.compile(r'max\((?P<metric>\w+)\{condition="(?P<condition>\w+)"\}\) > 0')


@cache
def condition_rules() -> dict[str, dict[str, Any]]:
    """The alerting rules of the conditions, by condition. A rule of another form is an error."""
    (group,) = [each for each in yaml.safe_load(ALERTS.read_text())["groups"] if each["name"] == GROUP]
    found = {}
    for rule in group["rules"]:
        expression = _EXPRESSION.fullmatch(rule["expr"])
        assert expression is not None, rule["expr"]
        assert expression["metric"] == "broadsheet_condition"
        found[expression["condition"]] = rule
    return found


def samples(metrics: str) -> dict[str, float]:
    """The value of the metric of each condition, in Prometheus' text format."""
    return {
        sample.labels["condition"]: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "broadsheet_condition"
    }


def firing(metrics: str) -> set[str]:
    """The conditions whose rules fire if these metrics stay as they are."""
    values = samples(metrics)
    return {condition for condition in condition_rules() if values.get(condition, 0.0) > 0}


async def assert_promtool_agrees(metrics: str, expected: Collection[str], folder: Path) -> None:
    """Let promtool evaluate all rules on these metrics, constant for two hours; without promtool do nothing."""
    if PROMTOOL is None:
        return
    alerts = [
        {
            "eval_time": "2h",
            "alertname": rule["alert"],
            "exp_alerts": [{"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}]
            if condition in expected
            else [],
        }
        for condition, rule in condition_rules().items()
    ]
    series = [
        {"series": f'broadsheet_condition{{condition="{condition}",instance="api"}}', "values": f"{value:g}x130"}
        for condition, value in samples(metrics).items()
    ]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": alerts}
    file = folder / "rules-test.yml"
    document = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [test]}
    file.write_text(yaml.safe_dump(document))
    process = await asyncio.create_subprocess_exec(
        PROMTOOL, "test", "rules", str(file), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
