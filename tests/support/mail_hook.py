"""Signed events of the mail provider."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


OTHER_SECRET = "whsec_U09NRUJPRFkgRUxTRSdTIFNFQ1JFVCE="


def event(kind: str = "email.bounced", **data: Any) -> dict[str, Any]:
    """An event as Resend documents it."""
    plain = {
        "created_at": "2026-11-22T23:41:11.894719+00:00",
        "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
        "from": "Broadsheet <digest@broadsheet.example>",
        "to": ["ada@example.org"],
        "subject": "Ice remembers",
        "bounce": {"message": "The address has no mailbox.", "subType": "General", "type": "Permanent"},
    }
    return {"type": kind, "created_at": "2026-11-22T23:41:12.126Z", "data": plain | data}


def signed(body: object, *, secret: str = SECRET, age: timedelta = timedelta()) -> tuple[bytes, dict[str, str]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    at = datetime.now(UTC) - age
    signature = Webhook(secret).sign("msg_1", at, data.decode("utf-8", "replace"))
    return data, {"Svix-Id": "msg_1", "svix-timestamp": str(int(at.timestamp())), "SVIX-SIGNATURE": signature}
