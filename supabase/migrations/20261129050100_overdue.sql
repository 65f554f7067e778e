-- A digest that was due when its reader's schedule changed is enqueued all the same.
--
-- `next_due_at` belongs to the new schedule from then on. So whoever changes a schedule (also a user under row security, who may
-- write no task) leaves the due day in `overdue_day`, and public.enqueue_due() makes its task.

-- The local day whose digest was due, but not enqueued, when the schedule changed, and its moment. Set by
-- public.plan_reader(), cleared by public.enqueue_due().
alter table public.readers
    add column overdue_day date,
    add column overdue_at timestamptz,
    add constraint readers_overdue check ((overdue_day is null) = (overdue_at is null));

drop index public.readers_due;
create index readers_due on public.readers (least(next_due_at, overdue_at), reader_id)
    where least(next_due_at, overdue_at) is not null;

-- As before, and what was due under the old schedule is kept.
create or replace function public.plan_reader() returns trigger
language plpgsql security invoker set search_path = '' as $$
declare
    clock timestamptz := public.schedule_now();
begin
    if new.zone is not null and (tg_op = 'INSERT' or new.zone is distinct from old.zone)
       and not public.zone_is_known(new.zone) then
        raise exception '% is no time zone, such as Europe/Berlin', left(quote_literal(new.zone), 100)
            using errcode = 'check_violation', constraint = 'readers_zone_check';
    end if;
    new.external_id := coalesce(new.external_id, new.reader_id::text);
    new.updated_at := now();
    if tg_op = 'UPDATE' and old.schedule_problem is null
       and (new.status, new.zone, new.send_at, new.weekdays) is not distinct from
           (old.status, old.zone, old.send_at, old.weekdays) then
        return new;
    end if;
    if tg_op = 'UPDATE' and old.next_due_at <= clock then
        select coalesce(o.day, old.overdue_day), coalesce(o.moment, old.overdue_at) into new.overdue_day, new.overdue_at
          from public.latest_occurrence(
            case when public.zone_is_known(old.zone) then old.zone end, old.send_at, old.weekdays, old.next_due_at, clock) o;
    end if;
    new.schedule_problem := null;
    new.next_due_at := null;
    if new.status = 'active' and new.zone is not null then
        new.next_due_at := public.next_occurrence(
            case when public.zone_is_known(new.zone) then new.zone end, new.send_at, new.weekdays, clock);
        new.schedule_problem := case when new.next_due_at is null then public.zone_problem(new.zone) end;
    end if;
    return new;
end
$$;

-- Gives up to p_limit readers who are due their digest task, each one for one local day (its id comes from both), and plans
-- their next. Of what was missed only the latest counts, and a day back at most. What was due before a change of the schedule is
-- enqueued whatever the reader's status is now, as it would have been a moment before the change. Answers how many readers it
-- was: fewer than p_limit, and all are done, or in the hands of another call. May be called by anybody, at any time, at once.
create or replace function public.enqueue_due(p_limit integer) returns integer
language plpgsql security invoker set search_path = '' set jit = off as $$
declare
    clock timestamptz := public.schedule_now();
    done integer;
begin
    with due as materialized (
        select reader_id, owner, name, profile, zone, send_at, weekdays, next_due_at, overdue_day, overdue_at,
               coalesce(next_due_at <= clock, false) as by_schedule
          from public.readers
         where least(next_due_at, overdue_at) <= clock
         order by least(next_due_at, overdue_at), reader_id
         limit p_limit
           for update skip locked
    ),
    zones as materialized (
        select z.zone, case when public.zone_is_known(z.zone) then z.zone end as known
          from (select distinct zone from due) z
    ),
    planned as materialized (
        select d.reader_id, d.owner, d.name, d.profile, d.zone, d.by_schedule, chosen.day, chosen.due_at,
               case when d.by_schedule then public.next_occurrence(z.known, d.send_at, d.weekdays, clock)
                    else d.next_due_at end as next_at,
               -- A day that comes round again under the new schedule has this digest, and no other: its mail may go out until
               -- the day after.
               case when d.by_schedule then null
                    when (d.next_due_at at time zone z.known)::date = chosen.day
                    then public.next_occurrence(z.known, d.send_at, d.weekdays, d.next_due_at)
                    else d.next_due_at end as next_after_overdue
          from due d
          left join zones z using (zone)
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
           schedule_problem = case when p.by_schedule and p.next_at is null then public.zone_problem(p.zone)
                                   else r.schedule_problem end
      from planned p
     where r.reader_id = p.reader_id;
    get diagnostics done = row_count;
    return done;
end
$$;

-- A user's own change asks it, in public.plan_reader(). It reads no table.
grant execute on function public.latest_occurrence to authenticated;
