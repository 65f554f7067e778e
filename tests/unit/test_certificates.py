"""The certificates of a process are read once, for all its clients."""

import ssl
from typing import Any

import httpx
import pytest

from app.certificates import trusted_certificates
from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.errors import SupabaseUnavailable
from app.external.client import open_external
from app.persistence.schema import Schema


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """Lists what this project's own code reads; the libraries' own clients are not in it."""
    contexts = list[ssl.SSLContext]()
    read = httpx.create_ssl_context

    def recording(*arguments: Any, **options: Any) -> ssl.SSLContext:
        contexts.append(read(*arguments, **options))
        return contexts[-1]

    monkeypatch.setattr(httpx, "create_ssl_context", recording)
    trusted_certificates.cache_clear()
    return contexts


async def test_all_clients_of_a_process_share_the_certificates(reads: list[ssl.SSLContext]) -> None:
    settings = SupabaseSettings.model_validate(
        {"supabase_url": "http://127.0.0.1:1", "supabase_key": "sb_secret_x", "supabase_retries": 0}
    )
    async with open_supabase(settings) as client, open_external(), open_external():
        with pytest.raises(SupabaseUnavailable):
            await Schema(client).version()
    assert len(reads) == 1
    assert reads[0].verify_mode is ssl.CERT_REQUIRED
