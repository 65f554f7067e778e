"""The mail message: exact headers, reproducible bytes, and no header injection by names or titles."""

import email
import email.policy
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from email.header import decode_header, make_header
from email.headerregistry import HeaderRegistry
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.config.mail_address import Mailbox
from app.mail.footer import MailLinks
from app.mail.message import MessageKey, build_message
from tests.support.digest_items import DAY, ENVELOPE, READER
from tests.support.messages import HEADERS, HOSTILE, LINKS, check_mail, mail_of, parsed


def test_the_headers_are_exact() -> None:
    read = parsed(build_message(mail_of()))
    assert read.keys() == HEADERS
    assert dict(read.items()) == {
        "From": "Broadsheet <digest@broadsheet.example>",
        "To": "Ada <ada@example.org>",
        "Subject": "Ice remembers",
        "Date": "Tue, 24 Nov 2026 06:00:00 +0000",
        "Message-ID": f"<digest-2026-11-24-{READER}@broadsheet.example>",
        "List-Id": "<digest.broadsheet.example>",
        "List-Unsubscribe": f"<{LINKS.unsubscribe}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
        "Content-Type": read["Content-Type"],
    }
    assert [part.get_content_type() for part in read.walk()] == ["multipart/alternative", "text/plain", "text/html"]


def test_machine_read_headers_are_not_folded() -> None:
    lines = build_message(mail_of()).as_bytes().split(b"\r\n")
    assert f"List-Unsubscribe: <{LINKS.unsubscribe}>".encode() in lines
    assert f"Message-ID: <{ENVELOPE['key']}@broadsheet.example>".encode() in lines


def test_without_https_one_click_unsubscribe_is_absent() -> None:
    links = MailLinks(unsubscribe="http://127.0.0.1:8000/r/unsubscribe/x")
    read = parsed(build_message(mail_of(links=links)))
    assert read["List-Unsubscribe"] == "<http://127.0.0.1:8000/r/unsubscribe/x>"
    assert "List-Unsubscribe-Post" not in read


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("digest@example.org", "mailto:digest@example.org?subject=Unsubscribe"),
        ("a+b&c@example.org", "mailto:a%2Bb%26c@example.org?subject=Unsubscribe"),
    ],
)
def test_without_pages_a_mail_to_the_sender_unsubscribes(address: str, link: str) -> None:
    links = MailLinks.by_mail(Mailbox(address))
    read = parsed(build_message(mail_of(links=links)))
    assert read["List-Unsubscribe"] == f"<{link}>"
    assert "List-Unsubscribe-Post" not in read
    assert list(links.labelled()) == [("Unsubscribe", link)]


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "mailto:x@y.example?subject=Unsubscribe&cc=eve@example.org",
             "mailto:x@y.example?subject=Unsubscribe>,<https://x.example/", "mailto:x@y.example\r\nBcc: e@example.org",
             "https://x.example/a\r\nBcc: eve@example.org", "https://x.example/>,<mailto:a@b.c",
             "https://x.example/" + "a" * 1_000, ""]
)  # fmt: skip
def test_an_unsafe_link_is_refused(link: str) -> None:
    with pytest.raises(ValueError, match="unsubscribe"):
        build_message(mail_of(links=MailLinks(unsubscribe=link)))


def test_a_date_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        build_message(mail_of(date=datetime(2026, 11, 24, 6)))  # noqa: DTZ001  (what is refused)


def test_mails_of_several_senders_keep_their_headers() -> None:
    """Headers with few values are parsed and folded once for all mails of a process."""
    senders = [Mailbox(f"digest@s{number}.example", f"Sender {number}") for number in range(3)]
    for sender in senders * 2:
        key = MessageKey(READER, DAY, sender.domain.partition(".")[0])
        read = parsed(build_message(mail_of(sender=sender, key=key, text="é" * 9, page="<p>x</p>")))
        assert read["From"] == f"{sender.name} <{sender.address}>"
        assert read["List-Id"] == f"<digest.{sender.domain}>"
        text, page = read.iter_parts()
        assert [part["Content-Transfer-Encoding"] for part in (text, page)] == ["base64", "quoted-printable"]
        assert text.get_content().strip() == "é" * 9
        assert page.get_content().strip() == "<p>x</p>"


def test_the_headers_that_all_mails_share_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    build_message(mail_of())
    names = list[str]()
    parse = HeaderRegistry.__call__

    def recording(registry: HeaderRegistry, name: str, value: Any) -> Any:
        names.append(name)
        return parse(registry, name, value)

    monkeypatch.setattr(HeaderRegistry, "__call__", recording)
    build_message(mail_of())
    assert set(names) == {"To", "Subject", "Date", "Message-ID", "List-Unsubscribe"}


def test_equal_inputs_give_equal_bytes_in_another_process() -> None:
    program = (
        "import sys; from tests.unit.mail.test_message import build_message, mail_of; "
        "sys.stdout.buffer.write(build_message(mail_of()).as_bytes())"
    )
    environment = {"PYTHONHASHSEED": "7", "TZ": "Pacific/Auckland", "LC_ALL": "C"}
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment)
    assert other.stdout == build_message(mail_of()).as_bytes() != b""


@pytest.mark.parametrize(
    "changes", [{"key": MessageKey(READER, DAY, "welcome")}, {"key": MessageKey(READER, DAY.replace(day=25))}]
)
def test_another_day_or_kind_is_another_message(changes: dict[str, Any]) -> None:
    first, second = build_message(mail_of()), build_message(mail_of(**changes))
    assert first["Message-ID"] != second["Message-ID"]
    assert first.get_boundary() != second.get_boundary()


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:25]))
def test_names_and_titles_cannot_add_headers(text: str) -> None:
    sender, recipient = Mailbox("digest@broadsheet.example", text), Mailbox("ada@example.org", text)
    check_mail(build_message(mail_of(subject=text, sender=sender, recipient=recipient, text=text, page=text)))


@example(text="A subject that is long enough to be folded. " * 2 + "ünïcödé 🦉 שלום " * 8, name="é, 🦉 שלום " * 7)
@given(text=st.text(max_size=400), name=st.text(max_size=120))
def test_any_text_gives_one_mail_to_one_reader(text: str, name: str) -> None:
    recipient = Mailbox("ada@example.org", name)
    message = build_message(mail_of(subject=text, recipient=recipient, text=text, page=text))
    read = check_mail(message)
    # The decoded value equals the original: nothing is lost or added where scripts meet or lines are folded. Decoded by
    # RFC 2047: the strict policy adds spaces between the encoded words of a name.
    raw = email.message_from_bytes(message.as_bytes())
    assert decoded(raw["Subject"]) == str(message["Subject"]) == str(read["Subject"])
    name = message["To"].addresses[0].display_name
    assert decoded(raw["To"]) == (f"{name} <ada@example.org>" if name else "ada@example.org")


def decoded(raw: str) -> str:
    return str(make_header(decode_header(raw.replace("\r\n", ""))))


def test_content_cannot_end_its_mime_part() -> None:
    message = build_message(mail_of())
    boundary = message.get_boundary()
    trap = f"--{boundary}\r\nContent-Type: text/html\r\n\r\n<h1>mine</h1>\r\n--{boundary}--\r\n"
    read = parsed(build_message(mail_of(text=trap, page=trap)))
    assert len(list(read.iter_parts())) == 2
    body = read.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines() == trap.splitlines()


def test_a_key_is_valid_as_file_name_and_idempotency_key() -> None:
    assert re.fullmatch(r"[A-Za-z0-9-]{1,255}", str(MessageKey(READER, DAY)))
    assert str(replace(MessageKey(READER, DAY), kind="welcome")) != str(MessageKey(READER, DAY))
