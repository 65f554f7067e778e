"""A emulator for a Supabase project: a real PostgreSQL behind a gateway that speaks PostgREST."""
