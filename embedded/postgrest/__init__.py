"""Speaks the part of PostgREST that the service uses: requests in, one SQL statement each, answers out."""
