-- The version of the schema. A process compares it with the version that its code needs (NEEDED_VERSION in
-- app/persistence/schema.py), so every migration that code relies on increases both.
create function public.schema_version() returns integer
language sql immutable security invoker set search_path = '' as $$ select 8 $$;

-- Permissions.
revoke execute on function
    public.schema_version
    from public, anon, authenticated;
grant execute on function
    public.schema_version
    to service_role;
