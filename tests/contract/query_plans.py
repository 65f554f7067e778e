"""The plans of queries and their cost, counted in buffers instead of seconds."""

import json
from typing import Any

import asyncpg

WORKER = "'00000000-0000-4000-8000-000000000001'"
CALL = "select public.{function}"


async def explained(database: asyncpg.Connection, query: str) -> dict[str, Any]:
    answer = await database.fetchval(f"explain (analyze, buffers, format json) {query}")
    plan: dict[str, Any] = json.loads(answer)[0]["Plan"]
    return plan


async def planned(database: asyncpg.Connection, query: str) -> dict[str, Any]:
    """The plan of a query that is not executed."""
    plan: dict[str, Any] = json.loads(await database.fetchval(f"explain (format json) {query}"))[0]["Plan"]
    return plan


def indexes(plan: dict[str, Any]) -> set[str]:
    own = {plan["Index Name"]} if "Index Name" in plan else set()
    return own.union(*(indexes(inner) for inner in plan.get("Plans", [])))


def buffers(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])
