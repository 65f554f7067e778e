"""What `make up`, `make digest` and `make supabase` run."""
