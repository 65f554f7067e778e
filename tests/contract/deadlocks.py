"""The number of deadlocks that PostgreSQL has counted."""

import asyncpg


async def deadlocks(database: asyncpg.Connection) -> int:
    await database.execute("select pg_stat_clear_snapshot()")
    return int(await database.fetchval("select deadlocks from pg_stat_database where datname = current_database()"))
