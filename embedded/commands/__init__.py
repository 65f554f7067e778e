"""The commands behind `make up`, `make digest` and `make supabase`."""
