"""The validation of mail addresses in Python and in SQL gives the same result."""

import random

import asyncpg
import pytest

from app.config.mail_address import InvalidAddress, checked_address

LABEL = "x" * 63
GOOD = [
    "ada@example.org",
    "Ada.Lovelace+digest@mail.example.org",
    "o'brien@localhost",
    "!#$%&'*+/=?^_`{|}~-@example.org",
    "x" * 64 + "@example.org",
    f"a@{LABEL}.{LABEL}.{LABEL}.{'x' * 56}.org",
    "a@1.2.example",
    "a@xn--bro-hoa.example.org",
    "a@r3---sn.example.org",
]
BAD = [
    "",
    "@",
    "ada",
    "@example.org",
    "ada@",
    "a@example..org",
    "a@example.org.",
    "a@.example.org",
    "a..b@example.org",
    ".a@example.org",
    "a.@example.org",
    "a@b@example.org",
    "a@-x.org",
    "a@x-.org",
    "a@x_y.org",
    "a@192.0.2.1",
    "a@[192.0.2.1]",
    "a@example.org\n",
    "a@example.org\r\nBcc: eve@example.org",
    "a b@example.org",
    " a@example.org",
    '"a b"@example.org',
    "a@example.org,eve@example.org",
    "Ada <a@example.org>",
    "x" * 65 + "@example.org",
    f"a@{LABEL}x.org",
    f"a@{LABEL}.{LABEL}.{LABEL}.{'x' * 57}.org",
    "a@exa mple.org",
    "a@example.org\x7f",
    "größe@example.org",
    "a@\u202egro.elpmaxe",
    "a@exam\uff20ple.org",
    "a@\u2100.org",
]
OTHER_SCRIPTS = ["ada@straße.example", "ada@büro.example.org", "ada@例え.jp", "ada@EXÄMPLE.org", "ada@例え。jp"]


def verdict(address: str) -> bool:
    try:
        return checked_address(address) is not None
    except InvalidAddress:
        return False


async def rejected_outcomes(database: asyncpg.Connection, addresses: list[str]) -> list[bool]:
    """The results of the SQL validation."""
    rows = await database.fetch(
        "select public.is_mail_address(a) as valid from unnest($1::text[]) with ordinality u(a, n) order by n",
        addresses,
    )
    return [row["valid"] for row in rows]


async def test_both_rules_agree_on_hostile_addresses(database: asyncpg.Connection) -> None:
    assert [each for each in GOOD if not verdict(each)] == []
    assert [each for each in BAD if verdict(each)] == []
    assert await rejected_outcomes(database, GOOD + BAD) == [True] * len(GOOD) + [False] * len(BAD)


async def test_both_rules_agree_on_thousands_of_addresses(database: asyncpg.Connection) -> None:
    drawn = random.Random(7)
    addresses = [
        "".join(drawn.choices("aZ1.-_@+ ", (9, 3, 3, 3, 2, 1, 4, 1, 0.3), k=drawn.randint(3, 12)))
        for _ in range(20_000)
    ]
    expected = [verdict(each) for each in addresses]
    assert expected.count(True) > 500
    assert await rejected_outcomes(database, addresses) == expected


async def test_an_internationalised_domain_is_stored_as_ascii(database: asyncpg.Connection) -> None:
    assert await rejected_outcomes(database, OTHER_SCRIPTS) == [False] * len(OTHER_SCRIPTS)
    stored = [checked_address(each) for each in OTHER_SCRIPTS]
    assert all(each.isascii() for each in stored)
    assert await rejected_outcomes(database, stored) == [True] * len(stored)
    assert [checked_address(each) for each in stored] == stored


@pytest.mark.parametrize("address", ["a@example..org", "a@example.org.", "x" * 65 + "@example.org"])
async def test_no_writer_stores_an_address_that_mail_cannot_reach(address: str, database: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="readers_email_check"):
        await database.execute("insert into public.readers (external_id, name, email) values ('a', 'Ada', $1)", address)
