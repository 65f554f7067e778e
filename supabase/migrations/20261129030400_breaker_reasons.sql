-- A breaker knows why it is open: the last failure, and when that was.

alter table public.circuit_breakers add column reason text, add column failed_at timestamptz;

-- What a process needs to know of a breaker.
create or replace function public.breaker_view(breaker public.circuit_breakers) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
        'name', breaker.name, 'state', breaker.state, 'failures', breaker.failures,
        'reason', breaker.reason, 'failed_at', breaker.failed_at,
        'retry_after', case when breaker.retry_at is not null then greatest(0, extract(epoch from breaker.retry_at - now())) end)
$$;

drop function public.breaker_failure(text, uuid, integer, double precision);

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

revoke execute on function public.breaker_failure from public, anon, authenticated;
grant execute on function public.breaker_failure to service_role;
