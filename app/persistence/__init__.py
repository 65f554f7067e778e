"""The only room that touches the Supabase client: every query of the service is built and awaited here."""
