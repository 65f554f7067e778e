"""Calls of the API about readers."""

ADA = {
    "external_id": "ada",
    "name": "Ada",
    "email": "ada@example.org",
    "profile": {"interests": ["graphs"], "exclude": ["hype"], "authors": ["E. Noether"], "categories": ["cs.LG"]},
    "timezone": "Europe/Berlin",
    "send_at": "07:00",
    "weekdays": [1, 2, 3],
}
