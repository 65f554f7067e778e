"""`/ops`, the operator pages: the functions of `/v1/admin` for people who sign in with an admin's API key."""
