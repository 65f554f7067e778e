-- The times of a schedule: time zones, and the days on which a reader's digest is due.

-- The clock of the schedule. Only the schedule reads it; tests replace it.
create function public.schedule_now() returns timestamptz
language sql stable security invoker set search_path = '' as $$ select now() $$;

-- Returns whether this PostgreSQL knows the IANA time zone. PostgreSQL also accepts abbreviations and POSIX rules, which the
-- pattern excludes. Time zones change with PostgreSQL releases, so this is checked at each write and each use.
create function public.timezone_is_known(p_timezone text) returns boolean
language plpgsql stable security invoker set search_path = '' as $$
begin
    if p_timezone is null or p_timezone !~ '^(UTC|Etc/GMT[+-](\d|1[0-4])|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z_-]+){1,2})$' then
        return false;
    end if;
    perform now() at time zone p_timezone;
    return true;
exception when others then
    return false;
end
$$;

create function public.timezone_problem(p_timezone text) returns text
language sql immutable security invoker set search_path = '' as $$
    select 'the time zone ' || p_timezone || ' is no longer known: choose another'
$$;

-- Returns the first time after p_after at which the schedule is due; null without a time zone. A local day has one such time: a
-- time that exists twice counts as the second, and one that does not exist is moved forward.
create function public.next_occurrence(p_timezone text, p_send_at time, p_weekdays smallint[], p_after timestamptz)
returns timestamptz
language plpgsql stable security invoker set search_path = '' as $$
begin
    return (
        select min(o.moment)
          from (select (d.day + p_send_at) at time zone p_timezone as moment
                  from (select (p_after at time zone p_timezone)::date + n as day from generate_series(-1, 8) n) d
                 where extract(isodow from d.day) = any (p_weekdays)) o
         where o.moment > p_after);
end
$$;

-- Returns the last time up to p_now at which the schedule was due, and its local day. Nothing if that was a day ago or longer, or
-- before p_since minus three hours (time zones change their rules).
create function public.latest_occurrence(
    p_timezone text, p_send_at time, p_weekdays smallint[], p_since timestamptz, p_now timestamptz,
    out day date, out moment timestamptz
)
language plpgsql stable security invoker set search_path = '' as $$
begin
    select o.day, o.moment into day, moment
      from (select d.day, (d.day + p_send_at) at time zone p_timezone as moment
              from (select (p_now at time zone p_timezone)::date + n as day from generate_series(-2, 1) n) d
             where extract(isodow from d.day) = any (p_weekdays)) o
     where o.moment <= p_now and o.moment > p_now - interval '1 day' and o.moment >= p_since - interval '3 hours'
     order by o.moment desc, o.day desc limit 1;
end
$$;

-- Permissions.
revoke execute on function
    public.schedule_now, public.timezone_is_known, public.timezone_problem, public.next_occurrence,
    public.latest_occurrence
    from public, anon, authenticated;
-- Checks and triggers of a user's own changes execute these.
grant execute on function
    public.schedule_now, public.timezone_is_known, public.timezone_problem, public.next_occurrence,
    public.latest_occurrence
    to authenticated, service_role;
