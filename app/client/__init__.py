"""The one Supabase client of a process, and the HTTP below it."""
