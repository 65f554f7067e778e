"""The outside world: the one HTTP client for it, and which of its addresses may be reached."""
