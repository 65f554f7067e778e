"""The snippet that creates a reader for each user of Supabase Auth, with Auth's table and role."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from supabase import AsyncClient

from app.persistence.readers import Reader, Readers
from embedded.stack import Ready
from tests.support.schema_cache import schema_is_read

SNIPPET = Path(__file__).parents[2] / "supabase" / "snippets" / "readers_of_users.sql"
REFUSED = {
    "two dots": "a..b@example.org",
    "a local part of 65": f"{'a' * 65}@example.org",
    "255 in all": f"a@{'b' * 249}.org",
    "no name": "@example.org",
}


class Users:
    """Writes to `auth.users` like Auth."""

    def __init__(self, client: AsyncClient, database: asyncpg.Connection) -> None:
        self._client = client
        self._database = database

    async def _as_auth(self, statement: str, *values: Any) -> None:
        async with self._database.transaction():
            await self._database.execute("set local role supabase_auth_admin")
            await self._database.execute(statement, *values)

    async def sign_up(self, email: str | None, *, confirmed: bool = True) -> UUID:
        user_id, moment = uuid4(), "now()" if confirmed else "null"
        insert = f"insert into auth.users (id, email, email_confirmed_at) values ($1, $2, {moment})"
        await self._as_auth(insert, user_id, email)
        return user_id

    async def confirm(self, user_id: UUID) -> None:
        await self._as_auth("update auth.users set email_confirmed_at = now() where id = $1", user_id)

    async def change(self, user_id: UUID, email: str | None, *, confirmed: bool = True) -> None:
        moment = "now()" if confirmed else "null"
        change = f"update auth.users set email = $2, email_confirmed_at = {moment} where id = $1"
        await self._as_auth(change, user_id, email)

    async def sign_in(self, user_id: UUID) -> None:
        """Auth may write every column."""
        await self._as_auth(
            "update auth.users set email = email, email_confirmed_at = email_confirmed_at, last_sign_in_at = now()"
            " where id = $1",
            user_id,
        )

    async def delete(self, user_id: UUID, *, soft: bool) -> None:
        """Delete the user, or mark it as deleted, in which case Auth obfuscates the address."""
        marked = "update auth.users set email = md5(email), deleted_at = now() where id = $1"
        await self._as_auth(marked if soft else "delete from auth.users where id = $1", user_id)

    async def reader(self, user_id: UUID) -> Reader | None:
        found = [reader for reader in await Readers(self._client).page(None) if reader.user_id == user_id]
        return found[0] if found else None

    async def address(self, user_id: UUID) -> str | None:
        """The address of the user's reader, which must exist."""
        reader = await self.reader(user_id)
        assert reader is not None
        return reader.email


@pytest.fixture
async def users(client: AsyncClient, database: asyncpg.Connection) -> AsyncIterator[Users]:
    for _ in range(2):
        await database.execute(SNIPPET.read_text(encoding="utf-8"))
    yield Users(client, database)
    await database.execute("drop function public.reader_of_user cascade; delete from auth.users where true")


async def test_a_confirmed_user_gets_a_reader(users: Users) -> None:
    reader = await users.reader(await users.sign_up("ada@example.org"))
    assert reader is not None
    assert (reader.name, reader.email, reader.status) == ("ada", "ada@example.org", "active")
    assert reader.next_due_at is not None


async def test_an_unconfirmed_user_gets_no_reader_until_confirmed(users: Users) -> None:
    user = await users.sign_up("stranger@example.org", confirmed=False)
    assert await users.reader(user) is None
    await users.sign_in(user)
    assert await users.reader(user) is None
    await users.confirm(user)
    assert await users.address(user) == "stranger@example.org"


@pytest.mark.parametrize("email", REFUSED.values(), ids=REFUSED)
async def test_a_refused_address_does_not_fail_a_sign_up(email: str, users: Users) -> None:
    assert await users.address(await users.sign_up(email)) is None
    later = await users.sign_up(email.replace("a", "c"), confirmed=False)
    await users.confirm(later)
    assert await users.address(later) is None


@pytest.mark.parametrize("email", [None, ""])
async def test_a_user_without_an_address_gets_a_reader_once_it_has_one(email: str | None, users: Users) -> None:
    user = await users.sign_up(email, confirmed=False)
    assert await users.reader(user) is None
    await users.confirm(user)
    assert await users.reader(user) is None
    await users.change(user, "later@example.org")
    assert await users.address(user) == "later@example.org"


async def test_a_changed_address_is_used_once_confirmed(users: Users) -> None:
    user = await users.sign_up("old@example.org")
    await users.change(user, "new@example.org", confirmed=False)
    assert await users.address(user) == "old@example.org"
    await users.confirm(user)
    assert await users.address(user) == "new@example.org"
    await users.change(user, "newer@example.org")
    assert await users.address(user) == "newer@example.org"
    await users.change(user, REFUSED["two dots"])
    assert await users.address(user) is None
    await users.change(user, "old@example.org")
    await users.change(user, None, confirmed=False)
    assert await users.address(user) is None


async def test_a_sign_in_changes_nothing(users: Users, client: AsyncClient) -> None:
    user = await users.sign_up("ada@example.org")
    reader = await users.reader(user)
    assert reader is not None
    changed = await Readers(client).change(reader.reader_id, {"email": "desk@example.org", "name": "Ada L."})
    await users.sign_in(user)
    assert await users.reader(user) == changed


@pytest.mark.parametrize(("status", "then"), [("bounced", "active"), ("unsubscribed", "unsubscribed")])
async def test_a_new_address_ends_only_a_bounce(status: str, then: str, users: Users, client: AsyncClient) -> None:
    user = await users.sign_up("ada@example.org")
    reader = await users.reader(user)
    assert reader is not None
    await Readers(client).change(reader.reader_id, {"status": status})
    await users.change(user, "new@example.org")
    assert (await Readers(client).get(reader.reader_id)).status == then


@pytest.mark.parametrize("soft", [True, False], ids=["marked as deleted", "deleted"])
async def test_a_reader_is_removed_with_its_user(soft: bool, users: Users) -> None:
    user, other = await users.sign_up("ada@example.org"), await users.sign_up("bob@example.org")
    await users.delete(user, soft=soft)
    assert await users.reader(user) is None
    assert await users.address(other) == "bob@example.org"


async def test_a_failure_to_write_readers_does_not_fail_a_sign_up(
    users: Users, database: asyncpg.Connection, stack: Ready
) -> None:
    user = await users.sign_up("ada@example.org")
    await database.execute("alter table public.readers rename to elsewhere")
    try:
        await users.sign_up("bob@example.org")
        await users.change(user, "new@example.org")
    finally:
        await database.execute("alter table public.elsewhere rename to readers")
        # The next test's requests would find no such table.
        await schema_is_read(database, f"{stack.url}/rest/v1")
    assert await users.address(user) == "ada@example.org"
    assert await database.fetchval("select count(*) from auth.users") == 2
