-- The shared half of the cache, and the circuit breakers' state, which all processes share.
create table public.cache_entries (
    key        text primary key,
    value      jsonb not null,
    expires_at timestamptz not null
);

create index cache_entries_expiry on public.cache_entries (expires_at);

create table public.circuit_breakers (
    name          text primary key,
    state         text not null default 'closed' check (state in ('closed', 'open', 'half_open')),
    failures      integer not null default 0 check (failures >= 0),
    -- The last reports, so that one which arrives twice counts once.
    recent_events uuid[] not null default '{}',
    retry_at      timestamptz,
    trial_token   uuid,
    updated_at    timestamptz not null default now(),
    reason text,
    failed_at timestamptz,
    check ((state = 'closed') = (retry_at is null))
);

alter table public.cache_entries enable row level security;

alter table public.circuit_breakers enable row level security;

-- {"value": ..., "seconds_left": ...}, or null where there is none or it has expired.
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

-- What a process needs to know of a breaker.
create function public.breaker_view(breaker public.circuit_breakers) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
        'name', breaker.name, 'state', breaker.state, 'failures', breaker.failures,
        'reason', breaker.reason, 'failed_at', breaker.failed_at,
        'retry_after', case when breaker.retry_at is not null then greatest(0, extract(epoch from breaker.retry_at - now())) end)
$$;

create function public.breaker_states() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(public.breaker_view(b) order by b.name), '[]') from public.circuit_breakers b
$$;

-- One more failure, and its reason; at the threshold, or when it was the trial's, the breaker opens for p_open_seconds.
create function public.breaker_failure(
    p_name text, p_event uuid, p_threshold integer, p_open_seconds double precision, p_reason text default null
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    found public.circuit_breakers;
    counted integer;
    opens boolean;
begin
    insert into public.circuit_breakers (name) values (p_name) on conflict do nothing;
    select * into found from public.circuit_breakers where name = p_name for update;
    if p_event = any (found.recent_events) or (found.state = 'half_open' and found.trial_token <> p_event) then
        return public.breaker_view(found);  -- counted already, or not the trial that decides
    end if;
    -- Failures that lie further apart than the breaker stays open do not add up.
    counted := case when found.updated_at < now() - make_interval(secs => p_open_seconds) then 1 else found.failures + 1 end;
    opens := counted >= p_threshold or found.state <> 'closed';
    update public.circuit_breakers b
       set failures = counted,
           recent_events = (p_event || b.recent_events)[1:32],
           state = case when opens then 'open' else b.state end,
           retry_at = case when opens and b.state <> 'open' then now() + make_interval(secs => p_open_seconds)
                           else b.retry_at end,
           trial_token = null,
           reason = p_reason,
           failed_at = now(),
           updated_at = now()
     where b.name = p_name
    returning b.* into found;
    return public.breaker_view(found);
end
$$;

-- A success: closes a half-open breaker if it was the trial's, and clears the count of a closed one.
create function public.breaker_success(p_name text, p_event uuid) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    found public.circuit_breakers;
begin
    update public.circuit_breakers
       set state = 'closed', failures = 0, retry_at = null, trial_token = null, updated_at = now()
     where name = p_name and (state = 'closed' or (state = 'half_open' and trial_token = p_event))
    returning * into found;
    if found.name is null then
        select * into found from public.circuit_breakers where name = p_name;
    end if;
    return case when found.name is not null then public.breaker_view(found) end;
end
$$;

-- Asks for the one trial of an open breaker whose time has come. The trial ends by its outcome, or after
-- p_trial_seconds, when another may be tried.
create function public.breaker_try(p_name text, p_event uuid, p_trial_seconds double precision) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    found public.circuit_breakers;
begin
    update public.circuit_breakers
       set state = 'half_open', trial_token = p_event, updated_at = now(),
           retry_at = now() + make_interval(secs => p_trial_seconds)
     where name = p_name and state <> 'closed' and retry_at <= now();
    select * into found from public.circuit_breakers where name = p_name;
    return public.breaker_view(found) || jsonb_build_object(
        'allowed', found.name is null or found.state = 'closed' or found.trial_token is not distinct from p_event);
end
$$;

revoke all on public.cache_entries, public.circuit_breakers from public, anon, authenticated;

revoke execute on function
    public.cache_get, public.cache_put, public.breaker_view, public.breaker_states, public.breaker_failure,
    public.breaker_success, public.breaker_try
    from public, anon, authenticated;

grant select, insert, update, delete on public.cache_entries, public.circuit_breakers to service_role;

grant execute on function
    public.cache_get, public.cache_put, public.breaker_view, public.breaker_states, public.breaker_failure,
    public.breaker_success, public.breaker_try
    to service_role;
