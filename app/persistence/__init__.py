"""The only package that uses the Supabase client: it builds and awaits every query of the service."""
