"""`/ops`, the operator's page: what `/v1/admin` shows and does, for people who sign in with an admin's key."""
