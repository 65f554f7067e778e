"""An emulator of a Supabase project: a real PostgreSQL behind a gateway with PostgREST's protocol."""
