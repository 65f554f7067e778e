"""HTTP clients of the users of Supabase Auth."""

from uuid import UUID

import httpx
import jwt

from embedded.stack import Ready
from tests.support.tasks import JWT_SECRET


def as_user(stack: Ready, user_id: UUID | None) -> httpx.AsyncClient:
    """A client like supabase-js in a browser: the project's public key, and the token of a signed-in user."""
    headers = {"apikey": stack.anon_key, "authorization": f"Bearer {stack.anon_key}"}
    if user_id is not None:
        claims = {"role": "authenticated", "sub": str(user_id), "exp": 4_102_444_800}
        headers["authorization"] = f"Bearer {jwt.encode(claims, JWT_SECRET, algorithm='HS256')}"
    return httpx.AsyncClient(base_url=f"{stack.url}/rest/v1", headers=headers, trust_env=False, timeout=30)
