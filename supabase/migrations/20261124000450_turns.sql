-- Turns at an outside service that asks for one request at a time from all of a user's machines, such as arXiv.
create table public.rate_limits (
    name       text primary key,
    holder     uuid,
    held_until timestamptz not null default now(),
    next_at    timestamptz not null default now(),
    -- The last holder that ended its turn, so that what comes again from it changes nothing.
    ended      uuid
);

alter table public.rate_limits enable row level security;

-- Takes the turn and answers 0, or answers the seconds until it is worth asking again. A holder that is gone costs one
-- turn: its own is over after p_hold_seconds.
create function public.acquire_permit(
    p_name text, p_token uuid, p_interval_seconds double precision, p_hold_seconds double precision
) returns double precision
language plpgsql security invoker set search_path = '' as $$
declare
    known public.rate_limits;
    -- Not now(): the wait for the lock must not count.
    moment timestamptz;
    wait double precision;
begin
    insert into public.rate_limits (name) values (p_name) on conflict do nothing;
    select * into known from public.rate_limits where name = p_name for update;
    if p_token = known.holder or p_token = known.ended then
        return 0;
    end if;
    moment := clock_timestamp();
    wait := greatest(0, extract(epoch from known.next_at - moment));
    if known.holder is not null and known.held_until > moment then
        -- Most turns are over long before they must be.
        wait := greatest(wait, least(extract(epoch from known.held_until - moment), greatest(p_interval_seconds / 4, 0.1)));
    end if;
    if wait = 0 then
        update public.rate_limits
           set holder = p_token,
               held_until = moment + make_interval(secs => p_hold_seconds),
               next_at = moment + make_interval(secs => p_interval_seconds)
         where name = p_name;
    end if;
    return wait;
end
$$;

-- Ends the turn if it is still this holder's; nobody gets the next one within p_pause_seconds. The pause counts in any
-- case: the service asked for it.
create function public.release_permit(p_name text, p_token uuid, p_pause_seconds double precision) returns void
language sql security invoker set search_path = '' as $$
    update public.rate_limits
       set holder = nullif(holder, p_token),
           next_at = greatest(next_at, clock_timestamp() + make_interval(secs => p_pause_seconds)),
           ended = p_token
     where name = p_name and ended is distinct from p_token
$$;

revoke all on public.rate_limits from public, anon, authenticated;

revoke execute on function public.acquire_permit, public.release_permit from public, anon, authenticated;

grant select, insert, update, delete on public.rate_limits to service_role;

grant execute on function public.acquire_permit, public.release_permit to service_role;
