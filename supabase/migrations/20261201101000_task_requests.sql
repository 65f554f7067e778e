-- What callers do with tasks: create, cancel, list and watch them; report the progress of one.

-- The number of digests that each caller requested on its last day with a request. Rows exist only for callers with a quota.
create table public.daily_usage (
    owner   text    primary key,
    day     date    not null,
    digests integer not null
);

alter table public.daily_usage enable row level security;

-- Counts p_digests for this UTC day. Returns null, or {ordered, retry_after} (seconds until the next day) if the sum would
-- exceed p_limit.
create function public.count_usage(p_owner text, p_digests integer, p_limit integer) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    usage public.daily_usage;
    moment timestamp;
begin
    insert into public.daily_usage (owner, day, digests) values (p_owner, '-infinity', 0) on conflict do nothing;
    -- The lock orders concurrent calls. The day is read after it, because midnight may pass while this call waits.
    select * into usage from public.daily_usage where owner = p_owner for update;
    moment := clock_timestamp() at time zone 'UTC';
    if usage.day <> moment::date then
        usage.digests := 0;
    end if;
    if usage.digests + p_digests > p_limit then
        return jsonb_build_object(
            'ordered', usage.digests, 'retry_after', extract(epoch from moment::date + 1 - moment));
    end if;
    update public.daily_usage set day = moment::date, digests = usage.digests + p_digests where owner = p_owner;
    return null;
end
$$;

-- Inserts tasks and their queue rows. Raises unique_violation if an id or idempotency key exists.
create function public.insert_tasks(p_owner text, p_tasks jsonb) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    with requested as (
        select * from jsonb_to_recordset(p_tasks) as g(
            task_id uuid, kind text, payload jsonb, source_date date, reader_id uuid, priority smallint,
            delay_seconds double precision, max_attempts smallint, callback_url text, idempotency_key text,
            request_hash text, traceparent text)
    ),
    recorded as (
        insert into public.tasks (
            task_id, owner, kind, payload, source_date, reader_id, priority, max_attempts, callback_url, idempotency_key,
            request_hash, traceparent)
        select task_id, p_owner, kind, payload, source_date, reader_id, priority, max_attempts, callback_url,
               idempotency_key, request_hash, traceparent
          from requested
    )
    insert into public.queue (task_id, kind, priority, run_at, max_attempts)
    select task_id, kind, priority, now() + make_interval(secs => delay_seconds), max_attempts from requested;
end
$$;

-- Compares the requested tasks with those that have the same ids or idempotency keys. `total` tasks are requested, `existing`
-- of them exist, `identical` of these have the same request; `tasks` are the existing ones; `replaceable` are ended tasks whose
-- key public.create_tasks() may give to the new task.
create function public.match_tasks(
    p_owner text, p_tasks jsonb, p_replace_ended boolean, p_waiting_task uuid, p_replace_completed boolean,
    out total bigint, out existing bigint, out identical bigint, out tasks jsonb, out replaceable uuid[]
)
language plpgsql stable security invoker set search_path = '' as $$
begin
    with requested as (
        select *, row_number() over () as place
          from jsonb_to_recordset(p_tasks) as g(task_id uuid, idempotency_key text, request_hash text)
    )
    select count(*), count(t.task_id),
           count(*) filter (where p_replace_ended or t.request_hash = requested.request_hash),
           jsonb_agg(to_jsonb(r) order by requested.place) filter (where r.task_id is not null),
           array_agg(t.task_id) filter (
               where p_replace_ended and t.task_id <> requested.task_id
                 and (t.status in ('failed', 'cancelled') or p_replace_completed and t.status = 'completed')
                 and t.finished_at < coalesce((select coalesce(w.replayed_at, w.created_at) from public.tasks w
                                                where w.task_id = p_waiting_task), 'infinity'))
      into total, existing, identical, tasks, replaceable
      from requested
      left join lateral (
          select f.task_id, f.request_hash, f.status, f.finished_at from public.tasks f
           where f.task_id = requested.task_id or (f.owner = p_owner and f.idempotency_key = requested.idempotency_key)
           order by f.task_id <> requested.task_id limit 1) t on true
      left join public.task_records r on r.task_id = t.task_id;
end
$$;

-- Creates all of the tasks or none, or finds those that an earlier call with the same ids or idempotency keys created.
-- `outcome` is created, existing, conflict (same ids or keys, other requests) or quota (more than p_daily_digests digests on
-- this UTC day).
-- p_replace_ended (for the service's own keys): requests are not compared, and the new task gets the key of a failed or
-- cancelled one; with p_replace_completed also that of a completed one. A task that ended after p_waiting_task was created
-- or replayed keeps its key: p_waiting_task waited for it and must see how it ended.
create function public.create_tasks(
    p_owner text, p_tasks jsonb, p_replace_ended boolean, p_waiting_task uuid, p_replace_completed boolean default false,
    p_daily_digests integer default null
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    found record;
    refused jsonb;
    digests integer;
begin
    if p_daily_digests is not null then
        digests := (select count(*) from jsonb_array_elements(p_tasks) e where e ->> 'kind' = 'digest');
    end if;
    -- Each round inserts the tasks, finds the existing ones, or frees a key: two rounds suffice, races included.
    for round in 1..5 loop
        begin
            perform public.insert_tasks(p_owner, p_tasks);
            if digests > 0 then
                refused := public.count_usage(p_owner, digests, p_daily_digests);
                if refused is not null then
                    raise exception using errcode = 'BQ001';
                end if;
            end if;
            return jsonb_build_object('outcome', 'created', 'created_at', now());
        exception
            when unique_violation then
                null;  -- another call created some of them
            when sqlstate 'BQ001' then
                return refused || '{"outcome": "quota"}';  -- the inserts are rolled back
        end;

        select * into found from public.match_tasks(p_owner, p_tasks, p_replace_ended, p_waiting_task, p_replace_completed);
        if found.replaceable is not null then
            update public.tasks set idempotency_key = null
             where task_id = any (found.replaceable) and status is not null;
        elsif found.existing > 0 then
            return jsonb_build_object(
                'outcome', case when found.identical = found.total then 'existing' else 'conflict' end,
                'tasks', found.tasks);
        end if;
    end loop;
    raise exception 'tasks could not be created: other calls keep taking the same idempotency key'
        using errcode = '40001';
end
$$;

-- Ends a pending task at once, requests the cancellation of a running one, and leaves an ended one unchanged. Returns null if
-- there is no such task or it is another owner's (p_owner null: any owner).
create function public.cancel_task(p_task_id uuid, p_owner text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    queued public.queue;
begin
    perform 1 from public.tasks where task_id = p_task_id and (p_owner is null or owner = p_owner);
    if not found then
        return null;
    end if;
    -- The lock: a claim or an end of the task comes before it or after it.
    select * into queued from public.queue where task_id = p_task_id and not dead_letter for update;
    if queued.worker_id is not null then
        update public.queue set cancel_requested = true, updated_at = now()
         where task_id = p_task_id and not cancel_requested;
    elsif queued.task_id is not null then
        delete from public.queue where task_id = p_task_id;
        update public.tasks
           set status = 'cancelled', finished_at = now(), attempt = queued.attempt, started_at = queued.started_at,
               error = queued.error, message = queued.message, progress = queued.progress
         where task_id = p_task_id;
        perform public.wake_tasks_waiting_for(p_task_id);
    end if;
    return public.task_view(p_task_id);
end
$$;

-- The cancelled tasks, for their list: no index of tasks may refer to the status, because the end of a task changes it. The columns
-- are those of the task.
create table public.cancelled_tasks (
    task_id     uuid        primary key references public.tasks on delete cascade,
    owner       text        not null,
    kind        text        not null,
    source_date date,
    created_at  timestamptz not null
);

create index cancelled_tasks_newest on public.cancelled_tasks (created_at desc, task_id desc);

alter table public.cancelled_tasks enable row level security;

-- Lists a task that is cancelled, and no longer lists one that is reopened.
create function public.record_cancelled() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    if new.status = 'cancelled' then
        insert into public.cancelled_tasks (task_id, owner, kind, source_date, created_at)
        values (new.task_id, new.owner, new.kind, new.source_date, new.created_at)
        on conflict do nothing;
    else
        delete from public.cancelled_tasks where task_id = new.task_id;
    end if;
    return null;
end
$$;

create trigger tasks_record_cancelled after update of status on public.tasks
    for each row when (new.status = 'cancelled' or old.status = 'cancelled')
    execute function public.record_cancelled();

-- Returns the ids of the p_limit newest tasks after a cursor that are unfinished or failed permanently. They come from the queue,
-- which has a row for each of them.
create function public.newest_in_queue(
    p_owner text, p_kinds text[], p_status text, p_source_date date, p_before timestamptz, p_before_id uuid, p_limit integer
) returns setof uuid
language plpgsql stable security invoker set search_path = '' as $$
begin
    return query
    select t.task_id from public.queue q join public.tasks t using (task_id)
     where q.dead_letter = (p_status = 'failed')
       and (p_status in ('open', 'failed') or (q.worker_id is not null) = (p_status = 'running'))
       and q.kind = any (p_kinds) and (p_owner is null or t.owner = p_owner)
       and (p_source_date is null or t.source_date = p_source_date)
       and (p_before is null or (t.created_at, t.task_id) < (p_before, p_before_id))
     order by t.created_at desc, t.task_id desc limit p_limit;
end
$$;

-- The same for cancelled tasks, which have a table because a walk of all tasks would pass millions of others.
create function public.newest_cancelled(
    p_owner text, p_kinds text[], p_source_date date, p_before timestamptz, p_before_id uuid, p_limit integer
) returns setof uuid
language plpgsql stable security invoker set search_path = '' as $$
begin
    return query
    select c.task_id from public.cancelled_tasks c
     where c.kind = any (p_kinds) and (p_owner is null or c.owner = p_owner)
       and (p_source_date is null or c.source_date = p_source_date)
       and (c.created_at, c.task_id) < (
            coalesce(p_before, 'infinity'), coalesce(p_before_id, '00000000-0000-0000-0000-000000000000'::uuid))
     order by c.created_at desc, c.task_id desc limit p_limit;
end
$$;

-- The same for tasks of one day (p_source_date not null) and for those of all days, of any status or completed ones. It reads an
-- index in its order, from the cursor on, for each owner and kind.
create function public.newest_tasks(
    p_owner text, p_kinds text[], p_status text, p_source_date date, p_before timestamptz, p_before_id uuid, p_limit integer
) returns setof uuid
language plpgsql stable security invoker set search_path = '' as $$
declare
    owners text[] := case when p_owner is null then array(select public.task_owners()) else array[p_owner] end;
    cursor_at timestamptz := coalesce(p_before, 'infinity');
    cursor_id uuid := coalesce(p_before_id, '00000000-0000-0000-0000-000000000000'::uuid);
begin
    if p_source_date is null then
        return query
        select n.task_id
          from unnest(owners) as o(owner) cross join unnest(p_kinds) as k(kind)
         cross join lateral (
            select t.task_id, t.created_at from public.tasks t
             where t.owner = o.owner and t.kind = k.kind and (p_status is null or t.status = p_status)
               and (t.created_at, t.task_id) < (cursor_at, cursor_id)
             order by t.created_at desc, t.task_id desc limit p_limit) n
         order by n.created_at desc, n.task_id desc limit p_limit;
    else
        return query
        select n.task_id
          from unnest(owners) as o(owner) cross join unnest(p_kinds) as k(kind)
         cross join lateral (
            select t.task_id, t.created_at from public.tasks t
             where t.source_date = p_source_date and t.owner = o.owner and t.kind = k.kind
               and (p_status is null or t.status = p_status)
               and (t.created_at, t.task_id) < (cursor_at, cursor_id)
             order by t.created_at desc, t.task_id desc limit p_limit) n
         order by n.created_at desc, n.task_id desc limit p_limit;
    end if;
end
$$;

-- Lists tasks, newest first, after a cursor (p_before, p_before_id): of one owner or all, of a kind, a status, a day.
create function public.list_tasks(
    p_owner text, p_kind text, p_status text, p_source_date date, p_before timestamptz, p_before_id uuid, p_limit integer
) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
    kinds text[] := case when p_kind is not null then array[p_kind]
                         else array['fetch', 'digest', 'delivery', 'callback', 'import'] end;
    ids uuid[];
begin
    if p_status in ('open', 'pending', 'running', 'failed') then
        ids := array(select public.newest_in_queue(p_owner, kinds, p_status, p_source_date, p_before, p_before_id, p_limit));
    elsif p_status = 'cancelled' then
        ids := array(select public.newest_cancelled(p_owner, kinds, p_source_date, p_before, p_before_id, p_limit));
    else
        ids := array(select public.newest_tasks(p_owner, kinds, p_status, p_source_date, p_before, p_before_id, p_limit));
    end if;
    return (select coalesce(jsonb_agg(to_jsonb(r) order by r.created_at desc, r.task_id desc), '[]')
              from public.task_records r where r.task_id = any (ids));
end
$$;

-- Compares p_known, {"<task_id>": "<version that the caller knows>"}, with the tasks: {"changed": [{version, task}],
-- "gone": [task_id]}. The ids come in the body and the response is one document, so neither a URL length nor a row limit cuts
-- it. Every change that callers can see gives a task another version; no task has the version "".
create function public.watch_tasks(p_known jsonb) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
               'changed', coalesce(jsonb_agg(jsonb_build_object('version', v.version, 'task', to_jsonb(r)))
                   filter (where r.task_id is not null), '[]'),
               'gone', coalesce(jsonb_agg(k.key) filter (where r.task_id is null), '[]'))
      from jsonb_each_text(p_known) as k(key, version)
      left join public.task_records r on r.task_id = k.key::uuid
     cross join lateral (
        select hashtextextended(
                   row(r.status, r.updated_at, r.run_at, r.attempt, r.progress, r.cancel_requested)::text, 0)::text
            as version) v
     where r.task_id is null or v.version <> k.version
$$;

-- Records the progress of a running task. Returns false if the lease is another worker's or the task has ended.
create function public.report_progress(p_task_id uuid, p_lease_token uuid, p_message text, p_progress real)
returns boolean
language plpgsql security invoker set search_path = '' as $$
begin
    update public.queue
       set message = p_message, progress = p_progress, updated_at = now()
     where task_id = p_task_id and lease_token = p_lease_token and worker_id is not null;
    return found;
end
$$;

-- Permissions.
revoke all on public.daily_usage, public.cancelled_tasks from public, anon, authenticated;
grant select, insert, update, delete on public.daily_usage, public.cancelled_tasks to service_role;
revoke execute on function
    public.count_usage, public.insert_tasks, public.match_tasks, public.create_tasks, public.cancel_task, public.record_cancelled,
    public.newest_in_queue, public.newest_cancelled, public.newest_tasks, public.list_tasks, public.watch_tasks,
    public.report_progress
    from public, anon, authenticated;
grant execute on function
    public.count_usage, public.insert_tasks, public.match_tasks, public.create_tasks, public.cancel_task, public.record_cancelled,
    public.newest_in_queue, public.newest_cancelled, public.newest_tasks, public.list_tasks, public.watch_tasks,
    public.report_progress
    to service_role;
