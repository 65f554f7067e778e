-- The objects that a Supabase project has before any migration. Repeatable: it runs at every start.

do $$ begin
    if not exists (select from pg_roles where rolname = 'anon') then
        create role anon nologin noinherit;
        create role authenticated nologin noinherit;
        create role service_role nologin noinherit bypassrls;
        create role authenticator login noinherit;
        grant anon, authenticated, service_role to authenticator;
    end if;
end $$;

-- Supabase's limit for statements of the API.
alter role authenticator set statement_timeout = '8s';

-- The signed-in user, for row level security.
create schema if not exists auth;
create table if not exists auth.users (
    id uuid primary key, email varchar(255) unique, created_at timestamptz not null default now()
);
-- Auth columns that a project's triggers read; a database created by an older version does not have them yet.
alter table auth.users
    add column if not exists email_confirmed_at timestamptz,
    add column if not exists last_sign_in_at timestamptz,
    add column if not exists updated_at timestamptz,
    add column if not exists deleted_at timestamptz;
do $$ begin
    if not exists (select from pg_roles where rolname = 'supabase_auth_admin') then
        create role supabase_auth_admin nologin noinherit;
    end if;
end $$;
create or replace function auth.uid() returns uuid language sql stable set search_path = '' as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
$$;
grant usage on schema auth to anon, authenticated, service_role, supabase_auth_admin;
grant execute on function auth.uid() to anon, authenticated, service_role;
grant all on auth.users to service_role, supabase_auth_admin;

-- Each change of the schema notifies PostgREST.
create schema if not exists extensions;
create or replace function extensions.pgrst_watch() returns event_trigger language plpgsql set search_path = '' as $$
begin
    notify pgrst, 'reload schema';
end $$;
drop event trigger if exists pgrst_ddl_watch;
create event trigger pgrst_ddl_watch on ddl_command_end when tag in (
    'CREATE SCHEMA', 'ALTER SCHEMA', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE',
    'CREATE VIEW', 'ALTER VIEW', 'CREATE MATERIALIZED VIEW', 'ALTER MATERIALIZED VIEW',
    'CREATE FUNCTION', 'ALTER FUNCTION', 'CREATE TYPE', 'ALTER TYPE', 'COMMENT'
) execute function extensions.pgrst_watch();
drop event trigger if exists pgrst_drop_watch;
create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_watch();

-- Runs a request of the gateway in one round trip: sets role and claims for the transaction, then executes the statement.
create schema if not exists embedded;
create or replace function embedded.run_as(caller text, claims text, reading boolean, statement text, given text[])
returns table (body text, page bigint, total bigint, fresh bigint) language plpgsql as $$
begin
    perform set_config('role', caller, true), set_config('request.jwt.claims', claims, true);
    if reading then
        perform set_config('transaction_read_only', 'on', true);
    end if;
    return query execute statement using given;
end $$;
revoke execute on function embedded.run_as from public;
grant usage on schema embedded to authenticator;
grant execute on function embedded.run_as to authenticator;
