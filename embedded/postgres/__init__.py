"""The emulator's PostgreSQL server: its programs, its folder, start and stop, and the objects of a Supabase project."""
