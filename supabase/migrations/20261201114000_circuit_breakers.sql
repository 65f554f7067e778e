-- Circuit breakers. All processes share their state.

create table public.circuit_breakers (
    name          text        primary key,
    state         text        not null default 'closed' check (state in ('closed', 'open', 'half_open')),
    failures      integer     not null default 0 check (failures >= 0),
    recent_events uuid[]      not null default '{}',    -- the last reports: a repeated one counts once
    retry_at      timestamptz,                          -- when the next trial may begin
    trial_token   uuid,                                 -- the trial of a half-open breaker
    updated_at    timestamptz not null default now(),
    reason        text,                                 -- the last failure
    failed_at     timestamptz,
    check ((state = 'closed') = (retry_at is null))
);

alter table public.circuit_breakers enable row level security;

-- Returns the part of a breaker that processes need.
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

-- Counts a failure. The breaker opens for p_open_seconds at the threshold, or if the trial failed.
create function public.breaker_failure(
    p_name text, p_event uuid, p_threshold integer, p_open_seconds double precision, p_reason text default null
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    found public.circuit_breakers;
    counted integer;
    opens boolean;
begin
    -- Creates or locks the row in one statement: public.prune_breakers() may remove it between two.
    insert into public.circuit_breakers as b (name) values (p_name)
    on conflict (name) do update set name = b.name returning * into found;
    if p_event = any (found.recent_events) or (found.state = 'half_open' and found.trial_token <> p_event) then
        return public.breaker_view(found);  -- already counted, or not the trial
    end if;
    -- Failures further apart than p_open_seconds do not add up.
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

-- Records a success: closes a half-open breaker if it was the trial's, and resets the count of a closed one.
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

-- Requests the trial of an open breaker whose retry_at has passed. The trial ends with its outcome, or after p_trial_seconds,
-- when another may begin.
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

-- Removes the circuit breakers of services that no worker calls any more, 1,000 a call. Removes none while a worker has not
-- reported its services.
create function public.prune_breakers() returns void
language plpgsql security invoker set search_path = '' as $$
begin
    with unused as materialized (
        select name from public.circuit_breakers
         where name <> all (public.services_in_use()) order by name limit 1000 for update skip locked)
    delete from public.circuit_breakers b using unused where b.name = unused.name;
end
$$;

-- Permissions.
revoke all on public.circuit_breakers from public, anon, authenticated;
grant select, insert, update, delete on public.circuit_breakers to service_role;
revoke execute on function
    public.breaker_view, public.breaker_states, public.breaker_failure, public.breaker_success, public.breaker_try,
    public.prune_breakers
    from public, anon, authenticated;
grant execute on function
    public.breaker_view, public.breaker_states, public.breaker_failure, public.breaker_success, public.breaker_try,
    public.prune_breakers
    to service_role;
