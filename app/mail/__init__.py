"""Digests as e-mails: composing and sending them."""
