-- The schedule: who is due gets one digest task for one of the reader's own days.

-- The schedule's clock: nothing else reads it, leases least of all. Tests put another in its place.
create function public.schedule_now() returns timestamptz
language sql stable security invoker set search_path = '' as $$ select now() $$;

-- Whether this is an IANA timezone that this PostgreSQL knows. PostgreSQL also takes abbreviations and rules in POSIX's form:
-- the pattern leaves them out. Zones change with releases, so this is asked when one is written and again when it is read.
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

-- The first moment after p_after at which the schedule comes round; null without a timezone. A local day has one such moment:
-- a time that exists twice counts as the second, one that does not exist as so much later.
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

-- The last moment up to p_now at which the schedule came round, and the local day that it belongs to; none where that was
-- a day ago or longer, or before the schedule began (p_since; some hours are forgiven, for zones change their rules).
create function public.latest_occurrence(
    p_timezone text, p_send_at time, p_weekdays smallint[], p_since timestamptz, p_now timestamptz, out day date, out moment timestamptz
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

-- As before, and what was due under the old schedule is kept.
create function public.schedule_reader() returns trigger
language plpgsql security invoker set search_path = '' as $$
declare
    clock timestamptz := public.schedule_now();
begin
    if new.timezone is not null and (tg_op = 'INSERT' or new.timezone is distinct from old.timezone)
       and not public.timezone_is_known(new.timezone) then
        raise exception '% is no time zone, such as Europe/Berlin', left(quote_literal(new.timezone), 100)
            using errcode = 'check_violation', constraint = 'readers_zone_check';
    end if;
    new.external_id := coalesce(new.external_id, new.reader_id::text);
    new.updated_at := now();
    if tg_op = 'UPDATE' and old.schedule_problem is null
       and (new.status, new.timezone, new.send_at, new.weekdays) is not distinct from
           (old.status, old.timezone, old.send_at, old.weekdays) then
        return new;
    end if;
    if tg_op = 'UPDATE' and old.next_due_at <= clock then
        select coalesce(o.day, old.overdue_day), coalesce(o.moment, old.overdue_at) into new.overdue_day, new.overdue_at
          from public.latest_occurrence(
            case when public.timezone_is_known(old.timezone) then old.timezone end, old.send_at, old.weekdays, old.next_due_at, clock) o;
    end if;
    new.schedule_problem := null;
    new.next_due_at := null;
    if new.status = 'active' and new.timezone is not null then
        new.next_due_at := public.next_occurrence(
            case when public.timezone_is_known(new.timezone) then new.timezone end, new.send_at, new.weekdays, clock);
        new.schedule_problem := case when new.next_due_at is null then public.timezone_problem(new.timezone) end;
    end if;
    return new;
end
$$;

create function public.timezone_problem(p_timezone text) returns text
language sql immutable security invoker set search_path = '' as $$
    select 'the time zone ' || p_timezone || ' is not known any more: set another'
$$;

create trigger readers_schedule
    before insert or update of
        external_id, user_id, name, email, profile, timezone, send_at, weekdays, when_empty, status, status_reason
    on public.readers
    for each row execute function public.schedule_reader();

-- Gives up to p_limit readers who are due their digest task, each one for one local day (its id comes from both), and plans
-- their next. Of what was missed only the latest counts, and a day back at most. What was due before a change of the schedule is
-- enqueued whatever the reader's status is now, as it would have been a moment before the change. Answers how many readers it
-- was: fewer than p_limit, and all are done, or in the hands of another call. May be called by anybody, at any time, at once.
create function public.enqueue_due(p_limit integer) returns integer
language plpgsql security invoker set search_path = '' set jit = off as $$
declare
    clock timestamptz := public.schedule_now();
    done integer;
begin
    with due as materialized (
        select reader_id, owner, name, profile, timezone, send_at, weekdays, next_due_at, overdue_day, overdue_at,
               coalesce(next_due_at <= clock, false) as by_schedule
          from public.readers
         where least(next_due_at, overdue_at) <= clock
         order by least(next_due_at, overdue_at), reader_id
         limit p_limit
           for update skip locked
    ),
    zones as materialized (
        select z.timezone, case when public.timezone_is_known(z.timezone) then z.timezone end as known
          from (select distinct timezone from due) z
    ),
    planned as materialized (
        select d.reader_id, d.owner, d.name, d.profile, d.timezone, d.by_schedule, chosen.day, chosen.due_at,
               case when d.by_schedule then public.next_occurrence(z.known, d.send_at, d.weekdays, clock)
                    else d.next_due_at end as next_at,
               -- A day that comes round again under the new schedule has this digest, and no other: its mail may go out until
               -- the day after.
               case when d.by_schedule then null
                    when (d.next_due_at at time zone z.known)::date = chosen.day
                    then public.next_occurrence(z.known, d.send_at, d.weekdays, d.next_due_at)
                    else d.next_due_at end as next_after_overdue
          from due d
          left join zones z using (timezone)
         cross join lateral public.latest_occurrence(
            case when d.by_schedule then z.known end, d.send_at, d.weekdays, d.next_due_at, clock) o
         cross join lateral (
            select case when o.day is not null then o.day when d.overdue_at > clock - interval '1 day' then d.overdue_day end as day,
                   case when o.day is not null then o.moment else d.overdue_at end as due_at) chosen
    ),
    made as (
        insert into public.tasks (
            task_id, owner, kind, payload, source_date, reader_id, local_day, request_hash, priority, max_attempts)
        select md5('digest:' || p.reader_id || ':' || p.day)::uuid, p.owner, 'digest',
               jsonb_build_object(
                   'profile', p.profile - array['max_papers', 'max_news'] || jsonb_build_object('name', p.name),
                   'max_papers', coalesce(p.profile -> 'max_papers', '12'),
                   'max_news', coalesce(p.profile -> 'max_news', '6'),
                   'scheduled', jsonb_build_object(
                       'reader_id', p.reader_id, 'local_day', p.day, 'due_at', p.due_at,
                       'next_due_at', case when p.by_schedule then p.next_at else p.next_after_overdue end)),
               -- The last whole day. After whoever asks by hand, and waits: priority 2.
               (p.due_at at time zone 'UTC')::date - 1, p.reader_id, p.day, '', 2, 5
          from planned p
         where p.day is not null
        on conflict do nothing
        returning task_id, kind, priority, max_attempts
    ),
    queued as (
        insert into public.queue (task_id, kind, priority, run_at, max_attempts)
        select task_id, kind, priority, now(), max_attempts from made
    )
    update public.readers r
       set next_due_at = p.next_at, overdue_day = null, overdue_at = null,
           schedule_problem = case when p.by_schedule and p.next_at is null then public.timezone_problem(p.timezone)
                                   else r.schedule_problem end
      from planned p
     where r.reader_id = p.reader_id;
    get diagnostics done = row_count;
    return done;
end
$$;

revoke execute on function
    public.schedule_now, public.timezone_is_known, public.next_occurrence, public.latest_occurrence, public.schedule_reader,
    public.timezone_problem, public.enqueue_due
    from public, anon, authenticated;

grant execute on function public.schedule_now, public.timezone_is_known, public.next_occurrence, public.timezone_problem
    to authenticated, service_role;

grant execute on function public.latest_occurrence, public.schedule_reader, public.enqueue_due to service_role;
