"""`make alerts`: write docs/alerts.yml and the table of docs/OPERATIONS.md from the list of conditions."""

import json
from pathlib import Path
from typing import Final

from app.conditions.catalog import CONDITIONS
from app.conditions.condition import Condition

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
ALERTS: Final = DOCS / "alerts.yml"
OPERATIONS: Final = DOCS / "OPERATIONS.md"
BEGIN, END = "<!-- Written by `make alerts`: -->\n", "<!-- End of what `make alerts` writes. -->\n"
HEAD: Final = """# Prometheus alerting rules, written by `make alerts`. OPERATIONS.md says what to do about each alert.
groups:
  - name: broadsheet-conditions
    rules:
"""
PROCESSES: Final = """\
  - name: broadsheet-processes
    rules:
      - alert: ProcessDown
        expr: up{job="broadsheet"} == 0
        for: 2m
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.instance }} does not respond."}
      - alert: TasksFailing
        expr: sum by (kind) (rate(broadsheet_tasks_total{outcome="failed"}[15m])) / sum by (kind) (rate(broadsheet_tasks_total[15m])) > 0.1
        for: 15m
        labels: {severity: warning}
        annotations: {summary: "{{ $value | humanizePercentage }} of the {{ $labels.kind }} attempts fail."}
      - alert: SupabaseRetries
        expr: sum(rate(broadsheet_supabase_attempts_total[10m])) / sum(rate(broadsheet_supabase_calls_total[10m])) > 1.2
        for: 10m
        labels: {severity: warning}
        annotations: {summary: "A call to Supabase needs {{ $value }} attempts on average."}
      - alert: EventLoopBlocked
        expr: histogram_quantile(0.99, sum by (le, instance) (rate(broadsheet_event_loop_lag_seconds_bucket[10m]))) > 0.15
        for: 10m
        labels: {severity: warning}
        annotations: {summary: "Code blocks the event loop of {{ $labels.instance }}."}
      - alert: ApiErrors
        expr: sum(rate(broadsheet_http_request_duration_seconds_count{status=~"5.."}[10m])) / sum(rate(broadsheet_http_request_duration_seconds_count[10m])) > 0.02
        for: 10m
        labels: {severity: critical}
        annotations: {summary: "{{ $value | humanizePercentage }} of the requests end with 5xx."}
      - alert: CircuitBreakerOpen
        expr: max by (breaker) (broadsheet_circuit_breaker_open) == 1
        for: 1h
        labels: {severity: warning}
        annotations: {summary: "The circuit breaker of {{ $labels.breaker }} has been open for one hour."}
"""  # noqa: E501  (expressions of one line)


def alerts_document() -> str:
    """Return the text of docs/alerts.yml."""
    return HEAD + "".join(map(_rule, CONDITIONS)) + PROCESSES


def conditions_table() -> str:
    """Return the table of conditions in docs/OPERATIONS.md."""
    rows = [f"| `{each.alert}` | {each.severity} | {each.meaning} | {each.action} |" for each in CONDITIONS]
    return "\n".join(["| alert | severity | meaning | what to do |", "|---|---|---|---|", *rows, ""])


def with_table(document: str) -> str:
    """Return the text of docs/OPERATIONS.md with the current table. Raises `ValueError` without its two markers."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + conditions_table() + END + after


def _rule(condition: Condition) -> str:
    return f"""\
      - alert: {condition.alert}
        expr: max(broadsheet_condition{{condition="{condition.name}"}}) > 0
        for: {condition.lasts}
        labels: {{severity: {condition.severity}}}
        annotations:
          summary: {json.dumps(condition.meaning[0].upper() + condition.meaning[1:] + ".")}
          description: {json.dumps(f"{condition.action} /ops and GET /v1/admin/health show the details.")}
"""


if __name__ == "__main__":
    ALERTS.write_text(alerts_document(), encoding="utf-8")
    OPERATIONS.write_text(with_table(OPERATIONS.read_text(encoding="utf-8")), encoding="utf-8")
