"""Payloads and URLs without secrets."""

import json

import pytest

from app.pages.ops.redaction import HIDDEN, MAX_LENGTH, payload_text, redacted, redacted_text, redacted_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/hook", "https://example.org/hook"),
        ("https://ada:pass@example.org:8443/a", f"https://{HIDDEN}@example.org:8443/a"),
        ("https://example.org/hook?token=abc&x=1", f"https://example.org/hook?{HIDDEN}"),
        ("https://example.org/hook#abc", f"https://example.org/hook?{HIDDEN}"),
        ("https://hooks.example.org/services/T01/8gQkDvRZ2mX4bN7cP1wY", f"https://hooks.example.org/services/T01/{HIDDEN}"),
        ("https://example.org/r/home/WyJhZGEiXQ.aGVsbG8.c2lnbmF0dXJl", f"https://example.org/r/home/{HIDDEN}"),
        ("https://[example", HIDDEN),
        ("https://example.org:x/", HIDDEN),
    ],
)  # fmt: skip
def test_a_url_is_shown_without_what_opens_something(url: str, shown: str) -> None:
    assert redacted_url(url) == shown
    assert redacted_text(f"see {url} now") == f"see {shown} now"


@pytest.mark.parametrize(
    "name", ["key", "api_key", "apikey", "Authorization", "webhook_secret", "password", "access-token", "cookies"]
)
def test_values_with_the_name_of_a_secret_are_hidden(name: str) -> None:
    assert redacted({"one": [{name: "abc"}]}) == {"one": [{name: HIDDEN}]}
    assert redacted({name: ["a", {"b": 1}]}) == {name: HIDDEN}
    assert redacted({name: None}) == {name: None}, "nothing to hide"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-0123456789abcdef",
        "sb_secret_abcdefgh123",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "re_1234567890abc",
        "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJl",
        "Bearer 0123456789abcdef",
    ],
)
def test_a_text_with_the_form_of_a_secret_is_hidden(secret: str) -> None:
    assert redacted({"note": f"it is {secret}."})["note"].startswith(f"it is {HIDDEN}")
    assert secret not in json.dumps(redacted({secret: 1}))


def test_other_values_and_addresses_stay() -> None:
    value = {"name": "Ada", "email": "ada@example.org", "count": 3, "on": True, "none": None, "keywords": ["monkey"]}
    assert redacted(value) == value


def test_long_and_deep_payloads_are_cut() -> None:
    text = payload_text({"text": "x" * (2 * MAX_LENGTH)})
    assert len(text) == MAX_LENGTH + 2
    deep: object = "end"
    for _ in range(5000):
        deep = [deep]
    assert "end" not in payload_text({"deep": deep})
