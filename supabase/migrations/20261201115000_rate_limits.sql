-- Permits for external services that allow one request at a time from all of a user's machines, such as arXiv.

create table public.rate_limits (
    name       text        primary key,
    holder     uuid,                                    -- the token that holds the permit
    held_until timestamptz not null default now(),
    next_at    timestamptz not null default now(),      -- when the next permit may be given
    ended      uuid                                     -- the last token that released it: its repetitions change nothing
);

alter table public.rate_limits enable row level security;

-- Acquires the permit and returns 0, or returns the seconds after which to request it again. The permit of a holder that
-- disappears ends after p_hold_seconds.
create function public.acquire_permit(
    p_name text, p_token uuid, p_interval_seconds double precision, p_hold_seconds double precision
) returns double precision
language plpgsql security invoker set search_path = '' as $$
declare
    permit public.rate_limits;
    -- Not now(): the time that this call waited for the lock must not count.
    moment timestamptz;
    wait double precision;
begin
    insert into public.rate_limits (name) values (p_name) on conflict do nothing;
    select * into permit from public.rate_limits where name = p_name for update;
    if p_token = permit.holder or p_token = permit.ended then
        return 0;
    end if;
    moment := clock_timestamp();
    wait := greatest(0, extract(epoch from permit.next_at - moment));
    if permit.holder is not null and permit.held_until > moment then
        -- Most permits are released long before they expire.
        wait := greatest(wait, least(extract(epoch from permit.held_until - moment), greatest(p_interval_seconds / 4, 0.1)));
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

-- Releases the permit if this token holds it. In any case no permit is given for p_pause_seconds: the service requires it.
create function public.release_permit(p_name text, p_token uuid, p_pause_seconds double precision) returns void
language sql security invoker set search_path = '' as $$
    update public.rate_limits
       set holder = nullif(holder, p_token),
           next_at = greatest(next_at, clock_timestamp() + make_interval(secs => p_pause_seconds)),
           ended = p_token
     where name = p_name and ended is distinct from p_token
$$;

-- Permissions.
revoke all on public.rate_limits from public, anon, authenticated;
grant select, insert, update, delete on public.rate_limits to service_role;
revoke execute on function
    public.acquire_permit, public.release_permit
    from public, anon, authenticated;
grant execute on function
    public.acquire_permit, public.release_permit
    to service_role;
