"""The process's one Supabase client and its HTTP layer."""
