-- Tasks: `tasks` is the record that API consumers poll, `queue` is what is still to be done.

-- Inserted once, updated once at the end. No index, partial ones included, is on or about a column that the end changes:
-- so the new version of a row stays on its page and costs no index entry (HOT), for which each page keeps room.
create table public.tasks (
    task_id          uuid primary key,
    owner            text not null default 'default',
    kind             text not null check (kind in ('fetch', 'digest', 'delivery', 'callback')),
    payload          jsonb not null default '{}' check (jsonb_typeof(payload) = 'object'),
    source_date      date,
    -- Whose scheduled digest, or delivery, and for which of the reader's days; null where nobody's schedule asked for it.
    reader_id        uuid,
    local_day        date,
    -- The task whose end this one tells of.
    parent           uuid,
    callback_url     text,
    idempotency_key  text,
    request_hash     text not null,
    priority         smallint not null default 1 check (priority between 0 and 3),
    max_attempts     smallint not null default 5 check (max_attempts between 1 and 100),
    created_at       timestamptz not null default now(),
    -- How often it was replayed after it had failed for good.
    replays          smallint not null default 0,
    replayed_at      timestamptz,
    -- The end: null until it has come.
    status           text check (status in ('completed', 'failed', 'cancelled')),
    result           jsonb,
    error            text,
    message          text,
    progress         real,
    attempt          smallint,
    started_at       timestamptz,
    finished_at      timestamptz,
    -- The lease token under which it ended, so that an outcome that comes again is known as applied.
    ended_by         uuid,
    check ((status is null) = (finished_at is null))
) with (fillfactor = 50);

-- Every listing is one owner's and kind's, or walks all of them (public.list_tasks).
create index tasks_newest on public.tasks (owner, kind, created_at desc, task_id desc);

create index tasks_by_date on public.tasks (source_date, created_at desc, task_id desc) where source_date is not null;

create index tasks_of_reader on public.tasks (reader_id) where reader_id is not null;

create unique index tasks_idempotency_key on public.tasks (owner, idempotency_key) where idempotency_key is not null;

-- One narrow row a task that has not ended. A claim writes into it what no index is about, the end deletes it. What failed
-- for good stays as dead_letter: listed, and ready to be replayed.
create table public.queue (
    task_id          uuid primary key,
    kind             text not null,
    priority         smallint not null,
    run_at           timestamptz not null,
    max_attempts     smallint not null,
    attempt          smallint not null default 0,
    -- Who works on it, and since when; null: nobody.
    worker_id        uuid,
    -- New with every claim. It stays when the task goes back by an outcome, so that the outcome is known if it comes again.
    lease_token      uuid,
    started_at       timestamptz,
    cancel_requested boolean not null default false,
    -- The task whose end it waits for, and since when it has been waiting.
    waits_for        uuid,
    snoozed_since    timestamptz,
    progress         real not null default 0 check (progress between 0 and 1),
    message          text,
    error            text,
    updated_at       timestamptz not null default now(),
    dead_letter             boolean not null default false
) with (
    fillfactor = 60,
    -- Every task leaves dead_letter rows within seconds: wait for a fixed number of them, at full speed.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.1,
    autovacuum_vacuum_cost_delay = 0
);

-- A claim probes one (kind, priority) at a time from the earliest run_at on: neither delayed tasks nor another kind's
-- backlog lie in its way. What is in hand stays in here, so that a claim changes no index.
create index queue_claim on public.queue (kind, priority, run_at, task_id) where not dead_letter;

create index queue_cancel on public.queue (task_id) where cancel_requested;

create index queue_waiting on public.queue (waits_for) where waits_for is not null;

create index queue_dead_letters on public.queue (kind, task_id) where dead_letter;

alter table public.tasks enable row level security;

alter table public.queue enable row level security;

-- A task whole, without its payload and result, which can be large: its status from wherever it is.
create view public.task_records with (security_invoker = on) as
    select t.task_id, t.owner, t.kind,
           coalesce(t.status, case when q.worker_id is null then 'pending' else 'running' end) as status,
           t.priority, coalesce(q.run_at, t.started_at, t.created_at) as run_at,
           coalesce(t.error, q.error) as error, coalesce(t.message, q.message) as message,
           coalesce(t.progress, q.progress, 0) as progress, t.source_date, t.reader_id, t.local_day, t.parent,
           t.callback_url,
           coalesce(t.attempt, q.attempt, 0) as attempt, t.max_attempts,
           coalesce(q.cancel_requested, t.status = 'cancelled') as cancel_requested,
           t.created_at, coalesce(t.started_at, q.started_at) as started_at,
           coalesce(t.finished_at, q.updated_at, t.created_at) as updated_at, t.finished_at
      from public.tasks t left join public.queue q on q.task_id = t.task_id and not q.dead_letter;

-- Every way into a final status makes the callback in the same transaction. Its id comes from the task's and the number of
-- its replay, so that there is one for each end, whatever happens twice.
create function public.enqueue_callback() returns trigger
language plpgsql security invoker set search_path = '' as $$
declare
    callback uuid := md5('callback:' || new.task_id || ':' || new.replays)::uuid;
    event jsonb := (
        select jsonb_build_object(
                   'type', 'task.' || new.status, 'timestamp', new.finished_at,
                   'data', to_jsonb(r) - 'owner' - 'callback_url' - 'parent')
          from public.task_records r where r.task_id = new.task_id);
begin
    with made as (
        insert into public.tasks (task_id, owner, kind, payload, source_date, parent, request_hash, priority, max_attempts)
        values (callback, new.owner, 'callback', jsonb_build_object('url', new.callback_url, 'event', event),
                new.source_date, new.task_id, '', 1, 10)
        on conflict do nothing
        returning *
    )
    insert into public.queue (task_id, kind, priority, run_at, max_attempts)
    select task_id, kind, priority, now(), max_attempts from made;
    return null;
end
$$;

create trigger tasks_enqueue_callback
    after update of status on public.tasks
    for each row
    when (new.status is not null and old.status is null and new.callback_url is not null and new.kind <> 'callback')
    execute function public.enqueue_callback();

-- Makes what waited for a task ready, a thousand at most; the rest and whoever came too late by public.wake_waiting_tasks().
create function public.wake_waiting_tasks_of(p_task_id uuid) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    woken integer;
begin
    update public.queue set run_at = now(), waits_for = null
     where task_id in (
        select task_id from public.queue where waits_for = p_task_id limit 1000 for update skip locked);
    get diagnostics woken = row_count;
    return woken;
end
$$;

-- How many digests each caller has ordered on the last day on which it ordered any, where a quota asks for it.
create table public.daily_usage (
    owner   text primary key,
    day     date not null,
    digests integer not null
);

alter table public.daily_usage enable row level security;

-- Counts digests that a caller orders. Answers null, or, where they are more than p_limit on this UTC day, how many it has
-- ordered and in how many seconds the next day begins.
create function public.count_usage(p_owner text, p_digests integer, p_limit integer) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    known public.daily_usage;
    moment timestamp;
begin
    insert into public.daily_usage (owner, day, digests) values (p_owner, '-infinity', 0) on conflict do nothing;
    -- The lock: whoever orders meanwhile comes before or after. The day is asked for after it, which may be another by then.
    select * into known from public.daily_usage where owner = p_owner for update;
    moment := clock_timestamp() at time zone 'UTC';
    if known.day <> moment::date then
        known.digests := 0;
    end if;
    if known.digests + p_digests > p_limit then
        return jsonb_build_object(
            'ordered', known.digests, 'retry_after', extract(epoch from moment::date + 1 - moment));
    end if;
    update public.daily_usage set day = moment::date, digests = known.digests + p_digests where owner = p_owner;
    return null;
end
$$;

-- Creates tasks, all or none, or finds those that an earlier call with the same ids or idempotency keys made.
-- `outcome` is created, existing, conflict (the same ids or keys with other requests), or quota (more digests than
-- p_daily_digests in this UTC day).
-- With p_take_over (a key of our own), no request is compared, and the key passes from a failed or cancelled task, with
-- p_afresh from any that has ended, to the new one; but not from one that ended after p_waiting was made or replayed: that
-- task waited for it, and is to hear how it ended.
create function public.create_tasks(
    p_owner text, p_tasks jsonb, p_take_over boolean, p_waiting uuid, p_afresh boolean default false,
    p_daily_digests integer default null
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    asked record;
    refused jsonb;
    digests integer;
begin
    if p_daily_digests is not null then
        digests := (select count(*) from jsonb_array_elements(p_tasks) e where e ->> 'kind' = 'digest');
    end if;
    -- Each turn either inserts, finds the tasks in the way, or frees a key: two suffice, races included.
    for turn in 1..5 loop
        begin
            with given as (
                select * from jsonb_to_recordset(p_tasks) as g(
                    task_id uuid, kind text, payload jsonb, source_date date, priority smallint,
                    delay_seconds double precision, max_attempts smallint, callback_url text, idempotency_key text,
                    request_hash text)
            ),
            recorded as (
                insert into public.tasks (
                    task_id, owner, kind, payload, source_date, priority, max_attempts, callback_url, idempotency_key,
                    request_hash)
                select task_id, p_owner, kind, payload, source_date, priority, max_attempts, callback_url, idempotency_key,
                       request_hash
                  from given
            )
            insert into public.queue (task_id, kind, priority, run_at, max_attempts)
            select task_id, kind, priority, now() + make_interval(secs => delay_seconds), max_attempts from given;
            if digests > 0 then
                refused := public.count_usage(p_owner, digests, p_daily_digests);
                if refused is not null then
                    raise exception using errcode = 'BQ001';
                end if;
            end if;
            return jsonb_build_object('outcome', 'created', 'created_at', now());
        exception
            when unique_violation then
                null;  -- somebody was here before
            when sqlstate 'BQ001' then
                return refused || '{"outcome": "quota"}';  -- what was inserted is not
        end;

        with given as (
            select * from jsonb_to_recordset(p_tasks) as g(task_id uuid, idempotency_key text, request_hash text)
        )
        select count(*) as wanted, count(t.task_id) as known,
               count(*) filter (where p_take_over or t.request_hash = given.request_hash) as same,
               jsonb_agg(to_jsonb(r) order by given.place) filter (where r.task_id is not null) as tasks,
               array_agg(t.task_id) filter (
                   where p_take_over and t.task_id <> given.task_id
                     and (t.status in ('failed', 'cancelled') or p_afresh and t.status = 'completed')
                     and t.finished_at < coalesce((select coalesce(w.replayed_at, w.created_at) from public.tasks w
                                                    where w.task_id = p_waiting), 'infinity')) as over
          into asked
          from (select *, row_number() over () as place from given) given
          left join lateral (
              select f.task_id, f.request_hash, f.status, f.finished_at from public.tasks f
               where f.task_id = given.task_id or (f.owner = p_owner and f.idempotency_key = given.idempotency_key)
               order by f.task_id <> given.task_id limit 1) t on true
          left join public.task_records r on r.task_id = t.task_id;
        if asked.over is not null then
            update public.tasks set idempotency_key = null
             where task_id = any (asked.over) and status is not null;
        elsif asked.known > 0 then
            return jsonb_build_object(
                'outcome', case when asked.same = asked.wanted then 'existing' else 'conflict' end, 'tasks', asked.tasks);
        end if;
    end loop;
    raise exception 'tasks could not be created: a key changes hands all the time' using errcode = '40001';
end
$$;

-- Ends a pending task at once, asks a running one's worker to stop, leaves an ended one alone. Null: no such task, or
-- another owner's (p_owner null: anybody's).
create function public.cancel_task(p_task_id uuid, p_owner text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    held public.queue;
begin
    perform 1 from public.tasks where task_id = p_task_id and (p_owner is null or owner = p_owner);
    if not found then
        return null;
    end if;
    -- The one lock: whoever claims or ends it meanwhile comes before or after.
    select * into held from public.queue where task_id = p_task_id and not dead_letter for update;
    if held.worker_id is not null then
        update public.queue set cancel_requested = true, updated_at = now()
         where task_id = p_task_id and not cancel_requested;
    elsif held.task_id is not null then
        delete from public.queue where task_id = p_task_id;
        update public.tasks
           set status = 'cancelled', finished_at = now(), attempt = held.attempt, started_at = held.started_at,
               error = held.error, message = held.message, progress = held.progress
         where task_id = p_task_id;
        perform public.wake_waiting_tasks_of(p_task_id);
    end if;
    -- Wrapped: the client takes an answer with a `message` of its own at the top for an error.
    return (select jsonb_build_object('task', to_jsonb(r)) from public.task_records r where r.task_id = p_task_id);
end
$$;

-- Who has tasks: one index probe an owner, however many tasks there are. (PostgreSQL's loose index scan:
-- https://wiki.postgresql.org/wiki/Loose_indexscan)
create function public.task_owners() returns setof text
language sql stable security invoker set search_path = '' as $$
    with recursive owners as (
        (select owner from public.tasks order by owner limit 1)
        union all
        select (select t.owner from public.tasks t where t.owner > o.owner order by t.owner limit 1)
          from owners o where o.owner is not null)
    select owner from owners where owner is not null
$$;

-- Tasks, newest first, behind a cursor (p_before, p_before_id): one owner's or everybody's, of a kind, a status, a day.
-- What is open, running or failed lies in the queue, which is small; everything else comes from an index in its order.
create function public.list_tasks(
    p_owner text, p_kind text, p_status text, p_source_date date, p_before timestamptz, p_before_id uuid, p_limit integer
) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
    kinds text[] := case when p_kind is null then array['fetch', 'digest', 'delivery', 'callback'] else array[p_kind] end;
    ids uuid[];
begin
    if p_status in ('open', 'pending', 'running', 'failed') then
        select array_agg(f.task_id) into ids from (
            select t.task_id from public.queue q join public.tasks t using (task_id)
             where q.dead_letter = (p_status = 'failed')
               and (p_status in ('open', 'failed') or (q.worker_id is not null) = (p_status = 'running'))
               and q.kind = any (kinds) and (p_owner is null or t.owner = p_owner)
               and (p_source_date is null or t.source_date = p_source_date)
               and (p_before is null or (t.created_at, t.task_id) < (p_before, p_before_id))
             order by t.created_at desc, t.task_id desc limit p_limit) f;
    elsif p_source_date is not null then
        select array_agg(f.task_id) into ids from (
            select t.task_id from public.tasks t
             where t.source_date = p_source_date and t.kind = any (kinds) and (p_owner is null or t.owner = p_owner)
               and (p_status is null or t.status = p_status)
               and (p_before is null or (t.created_at, t.task_id) < (p_before, p_before_id))
             order by t.created_at desc, t.task_id desc limit p_limit) f;
    else
        select array_agg(f.task_id) into ids from (
            select n.task_id
              from (select p_owner where p_owner is not null
                    union all select * from public.task_owners() where p_owner is null) as o(owner)
             cross join unnest(kinds) as k(kind)
             cross join lateral (
                select t.task_id, t.created_at from public.tasks t
                 where t.owner = o.owner and t.kind = k.kind and (p_status is null or t.status = p_status)
                   and (t.created_at, t.task_id) < (coalesce(p_before, 'infinity'), coalesce(p_before_id, '00000000-0000-0000-0000-000000000000'::uuid))
                 order by t.created_at desc, t.task_id desc limit p_limit) n
             order by n.created_at desc, n.task_id desc limit p_limit) f;
    end if;
    return (select coalesce(jsonb_agg(to_jsonb(r) order by r.created_at desc, r.task_id desc), '[]')
              from public.task_records r where r.task_id = any (ids));
end
$$;

-- Shows how far a running task is. False: the lease is another's, or the task has ended.
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

revoke all on public.tasks, public.queue, public.daily_usage, public.task_records from public, anon, authenticated;

grant usage on schema public to service_role;

grant select, insert, update, delete on public.tasks, public.queue, public.daily_usage to service_role;

grant select on public.task_records to service_role;

revoke execute on function
    public.enqueue_callback, public.wake_waiting_tasks_of, public.count_usage, public.create_tasks, public.cancel_task, public.task_owners,
    public.list_tasks, public.report_progress
    from public, anon, authenticated;

grant execute on function
    public.enqueue_callback, public.wake_waiting_tasks_of, public.count_usage, public.create_tasks, public.cancel_task, public.task_owners,
    public.list_tasks, public.report_progress
    to service_role;
