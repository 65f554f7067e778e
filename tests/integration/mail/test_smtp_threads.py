"""The SMTP library starts no thread: it gets the TLS context and this machine's name."""

import pytest

from app.config.mail_url import SmtpUrl
from app.mail.sender import Sent
from tests.support.refused_threads import no_threads
from tests.support.smtp_server import Certificates, Postbox, key_of, mail_to, sender_to


class ElsewhereUrl(SmtpUrl):
    """A server on loopback that is treated as a remote one."""

    @property
    def requires_starttls(self) -> bool:
        return True


@pytest.mark.parametrize("implicit", [True, False], ids=["smtps", "STARTTLS"])
async def test_a_mail_over_tls_starts_no_thread(certificates: Certificates, implicit: bool) -> None:
    options = {"ssl_context": certificates.good} if implicit else {"tls_context": certificates.good}
    async with Postbox().serve(**options) as box:
        url = box.url(implicit_tls=True) if implicit else ElsewhereUrl("127.0.0.1", box.port, implicit_tls=False)
        with sender_to(url, tls=certificates.trusted) as sender, no_threads() as refused:
            assert await sender.send(mail_to(), key_of()) == Sent()
    assert refused == []
