-- Creating, changing and removing readers, and enqueueing their scheduled digests.

-- Creates a reader, or finds the one with the same id or external_id; with p_change it takes the new values. With p_change, a
-- reader who deleted their data is not created again, and no other one gets their e-mail address: the outcome is `erased`.
create function public.upsert_reader(p_owner text, p_reader jsonb, p_change boolean) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    existing_row public.readers;
    target public.readers;
begin
    select * into existing_row from public.readers
     where reader_id = (p_reader ->> 'reader_id')::uuid and owner = p_owner for update;
    if existing_row.reader_id is null then
        select * into existing_row from public.readers
         where external_id = p_reader ->> 'external_id' and owner is not distinct from p_owner for update;
    end if;
    if p_change and public.reader_is_erased(
        p_owner, case when existing_row.reader_id is null then p_reader ->> 'external_id' end,
        nullif(lower(p_reader ->> 'email'), lower(existing_row.email))) then
        return jsonb_build_object('reader_id', null, 'outcome', 'erased');
    end if;
    if existing_row.reader_id is null then
        target := jsonb_populate_record(null::public.readers, p_reader);
        insert into public.readers (
            reader_id, owner, external_id, user_id, name, email, profile, timezone, send_at, weekdays, when_empty, status,
            status_reason)
        values (
            target.reader_id, p_owner, target.external_id, target.user_id, target.name, target.email,
            coalesce(target.profile, '{}'), target.timezone, target.send_at, coalesce(target.weekdays, '{1,2,3,4,5,6,7}'),
            coalesce(target.when_empty, 'skip'),
            case when (p_reader -> 'confirm')::boolean then 'unconfirmed' else coalesce(target.status, 'active') end,
            target.status_reason);
        if coalesce((p_reader -> 'welcome')::boolean, false) then
            perform public.welcome_reader(target.reader_id);
        end if;
        return jsonb_build_object('reader_id', target.reader_id, 'outcome', 'created');
    elsif not p_change then
        return jsonb_build_object(
            'reader_id', existing_row.reader_id,
            'outcome', case when existing_row.reader_id = (p_reader ->> 'reader_id')::uuid then 'created' else 'existing' end);
    end if;
    target := jsonb_populate_record(existing_row, p_reader - array['reader_id', 'owner', 'status', 'status_reason']);
    if target is not distinct from existing_row then
        return jsonb_build_object('reader_id', existing_row.reader_id, 'outcome', 'unchanged');
    end if;
    update public.readers
       set user_id = target.user_id, name = target.name, email = target.email, profile = target.profile,
           timezone = target.timezone, send_at = target.send_at, weekdays = target.weekdays, when_empty = target.when_empty
     where reader_id = existing_row.reader_id;
    return jsonb_build_object('reader_id', existing_row.reader_id, 'outcome', 'changed');
end
$$;

-- Applies public.upsert_reader(). An invalid reader is `refused` with the reason.
create function public.try_upsert_reader(p_owner text, p_reader jsonb, p_change boolean) returns jsonb
language plpgsql security invoker set search_path = '' as $$
begin
    for attempt in 1..2 loop
        begin
            return public.upsert_reader(p_owner, p_reader, p_change);
        exception
            -- Only errors in this reader's data; any other error ends the call. After a unique violation, another call may have
            -- created the reader: try once more.
            when data_exception or integrity_constraint_violation then
                if sqlstate <> '23505' or attempt = 2 then
                    return jsonb_build_object('reader_id', null, 'outcome', 'refused', 'reason', sqlerrm);
                end if;
        end;
    end loop;
end
$$;

-- Has statements planned with their values for the rest of the transaction, while `readers` has no statistics, also those of an
-- empty table: the planner cannot tell the index that finds a reader from others. It takes twice as long.
create function public.plan_readers_with_values() returns void
language plpgsql security invoker set search_path = '' as $$
begin
    if (select reltuples < 1 from pg_catalog.pg_class where oid = 'public.readers'::regclass) then
        perform set_config('plan_cache_mode', 'force_custom_plan', true);
    end if;
end
$$;

-- Applies public.try_upsert_reader() to each reader, in the order of their external_id. Returns the results in the order of
-- p_readers.
create function public.upsert_readers(p_owner text, p_readers jsonb, p_change boolean) returns jsonb
language plpgsql security invoker set search_path = '' set enable_seqscan = off set plan_cache_mode = auto as $$
declare
    entry record;
    results jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_readers)]);
begin
    -- A user has one reader, of any owner, and two calls may name the same users in different orders. One lock for each user could
    -- exceed the number of locks, so calls that name users run one after the other.
    if exists (select from jsonb_array_elements(p_readers) e where e ->> 'user_id' is not null) then
        perform pg_advisory_xact_lock(hashtextextended('readers of users', 0));
    end if;
    perform public.plan_readers_with_values();
    for entry in
        select l.reader, l.place::integer as place
          from jsonb_array_elements(p_readers) with ordinality as l(reader, place)
         -- The external_id of the existing row, because public.upsert_reader() finds it by id first. It refuses an invalid id.
         order by coalesce(
                      (select r.external_id from public.readers r
                        where r.owner = p_owner and r.reader_id = case
                            when l.reader ->> 'reader_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                            then (l.reader ->> 'reader_id')::uuid end),
                      l.reader ->> 'external_id', l.reader ->> 'reader_id'),
                  l.place
    loop
        results[entry.place] := public.try_upsert_reader(p_owner, entry.reader, p_change);
    end loop;
    return to_jsonb(results);
end
$$;

-- Returns a text without a reader's id and e-mail address, in any case. Without an address, p_email is null.
create function public.anonymised(p_text text, p_reader_id uuid, p_email text) returns text
language sql immutable security invoker set search_path = '' as $$
    -- The prefix makes the rest of the pattern literal. JSON escapes no character that an address can have.
    select regexp_replace(
        replace(p_text, p_reader_id::text, '00000000-0000-0000-0000-000000000000'),
        '***=' || coalesce(p_email, p_reader_id::text), '<address>', 'gi')
$$;

-- Removes a reader's id and e-mail address from the audit. The record of what an admin did stays.
create function public.anonymise_audit(p_reader_id uuid, p_email text) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    with found as materialized (
        select audit_id from public.audit
         where strpos(response::text || details::text, p_reader_id::text) > 0
            or strpos(lower(response::text || details::text), lower(p_email)) > 0
         order by audit_id for update)
    update public.audit a
       set response = public.anonymised(a.response::text, p_reader_id, p_email)::jsonb,
           details = public.anonymised(a.details::text, p_reader_id, p_email)::jsonb
      from found where a.audit_id = found.audit_id;
end
$$;

-- Locks the queue rows of these readers' tasks, whose rows the caller has locked for update. A task that is ending creates others,
-- which appear when its end commits (its callback, the delivery of its digest): repeat until all are locked. Everything else that
-- creates a task for a reader locks the reader's row first.
create function public.lock_queue_of_readers(p_readers uuid[]) returns void
language plpgsql security invoker set search_path = '' as $$
declare
    locked uuid[] := '{}';
begin
    while exists (
        select from public.tasks t join public.queue q using (task_id)
         where t.reader_id = any (p_readers) and t.task_id <> all (locked))
    loop
        locked := array(
            select q.task_id from public.queue q
             where q.task_id in (select t.task_id from public.tasks t where t.reader_id = any (p_readers))
             order by q.task_id for update);
    end loop;
end
$$;

-- Removes a reader with everything that belongs to it. Returns false if there is none, or it is another owner's (p_owner null: any
-- owner).
create function public.remove_reader(p_reader_id uuid, p_owner text) returns boolean
language plpgsql security invoker set search_path = '' as $$
declare
    address text;
begin
    select email into address from public.readers
     where reader_id = p_reader_id and (p_owner is null or owner = p_owner) for update;
    if not found then
        return false;
    end if;
    perform public.lock_queue_of_readers(array[p_reader_id]);
    delete from public.queue where task_id in (select t.task_id from public.tasks t where t.reader_id = p_reader_id);
    -- Triggers delete the digests with their tasks.
    with gone as materialized (
        select task_id from public.tasks where reader_id = p_reader_id order by task_id for update)
    delete from public.tasks t using gone where t.task_id = gone.task_id;
    with gone as materialized (
        select delivery_id from public.deliveries where reader_id = p_reader_id order by delivery_id for update)
    delete from public.deliveries d using gone where d.delivery_id = gone.delivery_id;
    delete from public.shown_items where reader_id = p_reader_id;
    delete from public.shown_digests where reader_id = p_reader_id;
    perform public.anonymise_audit(p_reader_id, address);
    delete from public.readers where reader_id = p_reader_id;
    return true;
end
$$;

-- Locks up to p_limit due readers and plans for each the day to enqueue (null: none) and the next due time. Of missed days only the
-- latest counts, up to a day back.
-- With p_ahead, for a program that runs only once in that time, readers who are due within it count as due, except those whose last
-- digest was ordered less than half of it ago: the program may run again. A missed day is not made up if the next one is due within
-- half of p_ahead, so that a run that comes a little late or early orders the same day.
create function public.plan_due(p_limit integer, p_now timestamptz, p_ahead interval)
returns table (
    reader_id uuid, owner text, name text, profile jsonb, timezone text, by_schedule boolean, day date, due_at timestamptz,
    next_at timestamptz, next_after_overdue timestamptz)
language plpgsql rows 100 security invoker set search_path = '' set jit = off as $$
begin
    return query
    with due as materialized (
        select r.reader_id, r.owner, r.name, r.profile, r.timezone, r.send_at, r.weekdays, r.next_due_at, r.overdue_day,
               r.overdue_at,
               -- A day that is overdue comes before one that is not due yet.
               coalesce(r.next_due_at <= p_now + case when r.overdue_at is null then p_ahead else '0' end, false)
                   as by_schedule
          from public.readers r
         where least(r.next_due_at, r.overdue_at) <= p_now + p_ahead
           and (least(r.next_due_at, r.overdue_at) <= p_now or r.enqueued_at is null or r.enqueued_at <= p_now - p_ahead / 2)
         order by least(r.next_due_at, r.overdue_at), r.reader_id
         limit p_limit
           for update skip locked
    ),
    zones as materialized (
        select z.timezone, case when public.timezone_is_known(z.timezone) then z.timezone end as known
          from (select distinct due.timezone from due) z
    )
    select d.reader_id, d.owner, d.name, d.profile, d.timezone, d.by_schedule, chosen.day, chosen.due_at,
           case when d.by_schedule then public.next_occurrence(z.known, d.send_at, d.weekdays, a.moment)
                else d.next_due_at end,
           -- If the new schedule is due again on the same local day, that day has this digest only: its mail may be sent until
           -- the day after.
           case when d.by_schedule then null
                when (d.next_due_at at time zone z.known)::date = chosen.day
                then public.next_occurrence(z.known, d.send_at, d.weekdays, d.next_due_at)
                else d.next_due_at end
      from due d
      left join zones z using (timezone)
     cross join lateral (
        select case when p_ahead > '0' then public.next_occurrence(z.known, d.send_at, d.weekdays, p_now) end as moment) n
     cross join lateral (
        select case when d.next_due_at > p_now then d.next_due_at
                    when n.moment <= p_now + p_ahead / 2 then n.moment
                    else p_now end as moment) a
     cross join lateral public.latest_occurrence(
        case when d.by_schedule then z.known end, d.send_at, d.weekdays, d.next_due_at, a.moment) o
     cross join lateral (
        select case when o.day is not null then o.day
                    when d.overdue_at > p_now - interval '1 day' then d.overdue_day end as day,
               case when o.day is not null then o.moment else d.overdue_at end as due_at) chosen;
end
$$;

-- Cancels the unfinished scheduled digests of these readers, except those that this transaction has created.
create function public.cancel_earlier_digests(p_readers uuid[]) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.cancel_task(e.task_id, null)
       from (select t.task_id from public.tasks t join public.queue q using (task_id)
              where t.reader_id = any (p_readers) and t.kind = 'digest' and not q.dead_letter and t.created_at < now()
              order by t.task_id) e;
end
$$;

-- Creates a digest task for up to p_limit due readers, each for one local day (the task's id comes from reader and day), and
-- plans their next one. A day that was due before a change of the schedule is enqueued whatever the reader's status is now, as it
-- would have been before the change. Returns the number of readers; fewer than p_limit means that no other is due, or another
-- call has locked the rest. Calls may run at the same time.
-- p_ahead_seconds: readers who are due within this time are due now (public.plan_due). Such a digest replaces the reader's earlier
-- ones that have not been written.
create function public.enqueue_due(p_limit integer, p_ahead_seconds double precision default 0) returns integer
language plpgsql security invoker set search_path = '' set jit = off as $$
declare
    clock timestamptz := public.schedule_now();
    done integer;
    early uuid[];
begin
    with planned as materialized (
        select * from public.plan_due(p_limit, clock, make_interval(secs => p_ahead_seconds))
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
               -- The last complete day. Priority 2: after callers' tasks, whose callers wait.
               (least(p.due_at, clock) at time zone 'UTC')::date - 1, p.reader_id, p.day, '', 2, 5
          from planned p
         where p.day is not null
        on conflict do nothing
        returning task_id, kind, priority, max_attempts
    ),
    queued as (
        insert into public.queue (task_id, kind, priority, run_at, max_attempts)
        select task_id, kind, priority, now(), max_attempts from made
    ),
    updated as (
        update public.readers r
           set next_due_at = p.next_at, overdue_day = null, overdue_at = null,
               enqueued_at = case when p.day is not null then clock else r.enqueued_at end,
               schedule_problem = case when p.by_schedule and p.next_at is null then public.timezone_problem(p.timezone)
                                       else r.schedule_problem end
          from planned p
         where r.reader_id = p.reader_id
        returning r.reader_id, p.due_at
    )
    select count(*), array_agg(u.reader_id) filter (where u.due_at > clock) into done, early from updated u;
    if early is not null then
        perform public.cancel_earlier_digests(early);
    end if;
    return done;
end
$$;

-- Permissions.
revoke execute on function
    public.upsert_reader, public.try_upsert_reader, public.plan_readers_with_values, public.upsert_readers,
    public.anonymised, public.anonymise_audit,
    public.lock_queue_of_readers, public.remove_reader, public.plan_due, public.cancel_earlier_digests, public.enqueue_due
    from public, anon, authenticated;
grant execute on function
    public.upsert_reader, public.try_upsert_reader, public.plan_readers_with_values, public.upsert_readers,
    public.anonymised, public.anonymise_audit,
    public.lock_queue_of_readers, public.remove_reader, public.plan_due, public.cancel_earlier_digests, public.enqueue_due
    to service_role;
