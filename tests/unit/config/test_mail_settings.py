"""Accepted values of the mail settings; an invalid value is named and never shown."""

from pathlib import Path

import pytest

from app.config import WorkerSettings, load_settings
from app.config.mail_address import InvalidAddress, Mailbox
from app.config.mail_url import FolderUrl, ResendUrl, SmtpUrl, parse_mail_url
from app.errors import ConfigurationError, PermanentError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smtp://mx.example.org", SmtpUrl("mx.example.org", 587, False)),
        ("smtps://mx.example.org", SmtpUrl("mx.example.org", 465, True)),
        (
            "SMTP://ada:p%40ss%3A%2Fw%C3%A9@mx.example.org:2525/",
            SmtpUrl("mx.example.org", 2525, False, "ada", "p@ss:/wé"),
        ),
        ("smtp://a%40b.example:x@[::1]:25", SmtpUrl("::1", 25, False, "a@b.example", "x")),
        ("smtp://ada:@mx", SmtpUrl("mx", 587, False, "ada", "")),
        ("resend:re_abc_123", ResendUrl("re_abc_123")),
        ("folder:out/mail box", FolderUrl(Path("out/mail box"))),
        ("folder:/var/mail", FolderUrl(Path("/var/mail"))),
    ],
)
def test_mail_urls_are_parsed(text: str, expected: object) -> None:
    assert parse_mail_url(text) == expected


@pytest.mark.parametrize(
    ("host", "required"),
    [("localhost", False), ("127.0.0.1", False), ("127.8.9.1", False), ("[::1]", False), ("mx.example", True),
     ("localhost.example", True), ("10.0.0.1", True), ("127.0.0.1.example", True)],
)  # fmt: skip
def test_starttls_is_required_except_on_loopback(host: str, required: bool) -> None:
    url = parse_mail_url(f"smtp://{host}")
    assert isinstance(url, SmtpUrl)
    assert url.requires_starttls is required


WRONG = [
    "hunter2",
    "http://ada:hunter2@mx",
    "smtp://ada:hunter2@",
    "smtp://:hunter2@mx",
    "smtp://hunter2@mx",
    "smtp://ada:hunter2@mx:port",
    "smtp://ada:hunter2@mx:99999",
    "smtp://ada:hunter2/x@mx",
    "smtp://ada:hunter2#x@mx",
    "smtp://ada:hunter2?x@mx",
    "smtp://ada:hunter2@mx/path",
    "smtp://ada:hunter2@m x",
    "smtp://ada:hunter2@mx\uff0f",
    "smtp://ada:hunter2@[::1",
    "resend:hunter2 hunter2",
    "resend:",
    "folder:",
    "",
]


@pytest.mark.parametrize("text", WRONG)
def test_an_invalid_value_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (its text is what is looked at)
        parse_mail_url(text)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__, "a traceback would show it"


def test_printed_settings_contain_no_secret() -> None:
    assert "hunter2" not in f"{parse_mail_url('smtp://ada:hunter2@mx')!r} {parse_mail_url('resend:hunter2')!r}"


@pytest.fixture
def supabase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://abc.supabase.co")
    monkeypatch.setenv("SUPABASE_KEY", "sb_secret_abc")


@pytest.mark.parametrize("value", WRONG[:-1])
@pytest.mark.usefixtures("supabase")
def test_a_failed_start_names_the_variable_and_no_password(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MAIL_URL", value)
    with pytest.raises(ConfigurationError, match="MAIL_URL is set to a secret value") as caught:
        load_settings(WorkerSettings)
    assert "hunter2" not in str(caught.value)


@pytest.mark.usefixtures("supabase")
def test_sending_mails_needs_a_sender_but_no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_URL", "resend:hunter2")
    with pytest.raises(ConfigurationError, match="MAIL_URL is set without MAIL_FROM") as caught:
        load_settings(WorkerSettings)
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("MAIL_FROM", "Broadsheet <digest@example.org>")
    assert load_settings(WorkerSettings).public_url is None


@pytest.mark.usefixtures("supabase")
def test_links_to_pages_need_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_URL", "resend:hunter2")
    monkeypatch.setenv("MAIL_FROM", "Broadsheet <digest@example.org>")
    monkeypatch.setenv("PUBLIC_URL", "https://digest.example.org/")
    with pytest.raises(ConfigurationError, match="MAIL_URL and PUBLIC_URL are set without LINK_SECRET"):
        load_settings(WorkerSettings)
    monkeypatch.setenv("LINK_SECRET", "0123456789abcdef, fedcba9876543210")
    settings = load_settings(WorkerSettings)
    assert settings.mail_url is not None
    assert settings.public_url == "https://digest.example.org"
    assert [secret.get_secret_value() for secret in settings.link_secret] == ["0123456789abcdef", "fedcba9876543210"]
    assert "hunter2" not in repr(settings)
    assert "0123456789abcdef" not in repr(settings)


@pytest.mark.usefixtures("supabase")
def test_a_short_link_secret_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINK_SECRET", "0123456789abcdef,hunter2")
    with pytest.raises(ConfigurationError, match="LINK_SECRET is set to a secret value") as caught:
        load_settings(WorkerSettings)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address", "name"),
    [
        ("ada@example.org", "ada@example.org", ""),
        ('"Lovelace, Ada" <ada+digest@example.org>', "ada+digest@example.org", "Lovelace, Ada"),
        ("Größe <post@straße.example>", "post@xn--strae-oqa.example", "Größe"),
        ("x@EXAMPLE.org", "x@example.org", ""),
        ("o'brien@localhost", "o'brien@localhost", ""),
    ],
)
def test_valid_addresses_are_accepted(text: str, address: str, name: str) -> None:
    assert Mailbox.parse(text) == Mailbox(address, name)


@pytest.mark.parametrize(
    "text",
    ["", "ada", "@example.org", "ada@", "a b@example.org", "ada@exa mple.org", "ada@example.org\r\nBcc: x@y.z",
     "a..b@c.d", ".a@b.c", "ada@[127.0.0.1]", "ada@-x.org", "ada@x..y", "x" * 65 + "@example.org",
     "a@" + "x." * 200 + "org",
     "größe@example.org", '"a b"@example.org', "a@b@c.d", "ada@example.org,eve@example.org", "<ada@example.org> x",
     "ada@example.org\x00", "ada@exam\ud800ple.org", "\ud800@example.org", "ada@\u202egro.elpmaxe"],
)  # fmt: skip
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        Mailbox.parse(text)
    assert isinstance(caught.value, PermanentError)
    str(caught.value).encode()
