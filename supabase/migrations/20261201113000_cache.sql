-- The shared level of the cache.

create table public.cache_entries (
    key        text        primary key,
    value      jsonb       not null,
    expires_at timestamptz not null
);

create index cache_entries_expiry on public.cache_entries (expires_at);

alter table public.cache_entries enable row level security;

-- Returns {value, seconds_left}; null if there is no entry or it has expired.
create function public.cache_get(p_key text) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object('value', value, 'seconds_left', extract(epoch from expires_at - now()))
      from public.cache_entries where key = p_key and expires_at > now()
$$;

create function public.cache_put(p_key text, p_value jsonb, p_ttl_seconds double precision) returns void
language sql security invoker set search_path = '' as $$
    insert into public.cache_entries (key, value, expires_at)
    values (p_key, p_value, now() + make_interval(secs => p_ttl_seconds))
    on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at
$$;

-- Permissions.
revoke all on public.cache_entries from public, anon, authenticated;
grant select, insert, update, delete on public.cache_entries to service_role;
revoke execute on function
    public.cache_get, public.cache_put
    from public, anon, authenticated;
grant execute on function
    public.cache_get, public.cache_put
    to service_role;
