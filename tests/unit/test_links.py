"""Readers' signed links: valid for one reader, one purpose and one generation; all others get the same error."""

import hashlib
import re
from datetime import date, timedelta
from string import ascii_letters, digits
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer
from itsdangerous.encoding import base64_decode

from app.links import InvalidLink, Link, Links

OLD, NEW, OTHER = "an-old-secret-of-ours", "the-new-secret-of-ours", "somebody-elses-secret"
READER = UUID("6d1c5f0e-0000-4000-8000-000000000001")
DAY = date(2026, 11, 24)
LINK = Link(READER, 3, DAY)
LINKS = Links([NEW, OLD], "https://digest.example.org/")
PURPOSES = ["page", "unsubscribe", "pause", "schedule", "preferences", "feed", "vote:2513.00001", "vote:2513.00002"]


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("link", [LINK, Link(READER, 0), Link(READER, 2**32 - 1, date(1970, 1, 2))])
def test_a_signed_link_is_read(purpose: str, link: Link) -> None:
    assert LINKS.read(purpose, LINKS.sign(purpose, link)) == link


def test_a_token_is_short_url_safe_and_deterministic() -> None:
    url = LINKS.url("vote:2513.00001", LINK)
    assert re.fullmatch(r"https://digest\.example\.org/r/vote:2513\.00001/[\w-]{30}\.[\w-]{22}", url)
    assert url == Links([NEW], "https://digest.example.org").url("vote:2513.00001", LINK)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_signature_is_half_of_the_librarys(purpose: str) -> None:
    signed, _, signature = LINKS.sign(purpose, LINK).rpartition(".")
    salt = f"broadsheet.link.{purpose}"
    library = Signer(NEW, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
    assert base64_decode(signature) == base64_decode(library.get_signature(signed))[:16]


def test_a_purposes_key_is_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    derived = list[str]()
    derive = Signer.derive_key

    def recording(signer: Signer, secret_key: str | bytes | None = None) -> bytes:
        derived.append(signer.salt.decode())
        return derive(signer, secret_key)

    monkeypatch.setattr(Signer, "derive_key", recording)
    links = Links([NEW], "")
    assert len({links.sign("page", Link(uuid4(), 1)) for _ in range(3)}) == 3
    assert derived == ["broadsheet.link.page"]


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_link_has_one_purpose(purpose: str) -> None:
    token = LINKS.sign(purpose, LINK)
    for other in {*PURPOSES, "x", "", "page:unsubscribe"} - {purpose}:
        with pytest.raises(InvalidLink):
            LINKS.read(other, token)


def test_links_of_the_previous_secret_are_valid() -> None:
    before = Links([OLD], "https://x.example").sign("page", LINK)
    assert LINKS.read("page", before) == LINK
    assert Links([NEW], "https://x.example").read("page", LINKS.sign("page", LINK)) == LINK
    for links, token in ((Links([NEW], ""), before), (Links([OTHER], ""), LINKS.sign("page", LINK))):
        with pytest.raises(InvalidLink):
            links.read("page", token)


def test_every_changed_character_is_detected() -> None:
    token = LINKS.sign("page", LINK)
    for place in range(len(token)):
        for character in ascii_letters + digits + "-_.= ":
            changed = token[:place] + character + token[place + 1 :]
            if changed != token:
                with pytest.raises(InvalidLink):
                    LINKS.read("page", changed)


@given(st.text(max_size=300) | st.text(alphabet=ascii_letters + digits + "-_.", min_size=40, max_size=90))
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidLink):
        LINKS.read("page", token)


@pytest.mark.parametrize("change", ["{}=", "{}\n", " {}", "{}.", ".{}", "{0}.{0}", "{}\x00", "", "."])
def test_a_token_with_added_text_is_refused(change: str) -> None:
    with pytest.raises(InvalidLink):
        LINKS.read("page", change.format(LINKS.sign("page", LINK)))


@pytest.mark.parametrize(
    "purpose", ["", "Page", "vote:", "vote:a/b", "vote:a b", "page\n", "vote:" + "x" * 101, "vote:é"]
)
def test_an_invalid_purpose_is_a_programming_error(purpose: str) -> None:
    with pytest.raises(ValueError, match="is not a purpose"):
        LINKS.sign(purpose, LINK)
    with pytest.raises(InvalidLink):
        LINKS.read(purpose, LINKS.sign("page", LINK))


@pytest.mark.parametrize(
    ("link", "generation", "age", "good"),
    [
        (LINK, 3, None, True),
        (LINK, 4, None, False),
        (LINK, 2, None, False),
        (LINK, 3, 0, True),
        (Link(READER, 3, DAY - timedelta(days=30)), 3, 30, True),
        (Link(READER, 3, DAY - timedelta(days=31)), 3, 30, False),
        (Link(READER, 3, DAY - timedelta(days=31)), 3, None, True),
        (Link(READER, 3, DAY + timedelta(days=1)), 3, 30, True),
        (Link(READER, 3), 3, 30, False),
        (Link(READER, 3), 3, None, True),
    ],
)
def test_generation_and_age_are_checked(link: Link, generation: int, age: int | None, good: bool) -> None:
    max_age = None if age is None else timedelta(days=age)
    if good:
        link.require(generation, today=DAY, max_age=max_age)
        return
    with pytest.raises(InvalidLink):
        link.require(generation, today=DAY, max_age=max_age)


def test_a_refusal_shows_neither_reason_nor_reader() -> None:
    tampered = LINKS.sign("page", LINK)[:-1] + "!"
    texts = set()
    for refuse in (
        lambda: LINKS.read("page", tampered),
        lambda: LINKS.read("pause", LINKS.sign("page", LINK)),
        lambda: LINK.require(4),
        lambda: LINK.require(3, today=DAY + timedelta(days=9), max_age=timedelta(days=1)),
    ):
        with pytest.raises(InvalidLink) as caught:
            refuse()
        assert caught.value.__cause__ is None
        texts.add(str(caught.value))
    assert len(texts) == 1
    assert str(READER) not in texts.pop()


def test_readers_have_different_links() -> None:
    assert len({LINKS.sign("page", Link(uuid4(), 1)) for _ in range(100)}) == 100


def test_without_a_secret_no_link_is_signed() -> None:
    with pytest.raises(ValueError, match="LINK_SECRET"):
        Links([], "https://x.example")
