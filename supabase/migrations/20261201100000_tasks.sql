-- Tasks. `tasks` holds the record that callers poll; `queue` holds one row for each task that has not ended.

-- A row is inserted once and updated once, when the task ends. No index (partial indexes included) refers to a column that
-- the end changes, so that update stays on the row's page and writes no index entry (a HOT update). The fillfactor leaves space.
create table public.tasks (
    task_id         uuid        primary key,
    owner           text        not null default 'default',
    kind            text        not null check (kind in ('fetch', 'digest', 'delivery', 'callback', 'import')),
    payload         jsonb       not null default '{}' check (jsonb_typeof(payload) = 'object'),
    source_date     date,
    reader_id       uuid,                               -- set if the task is for one reader: its schedule, a delivery, an
                                                        -- import, and their callbacks
    local_day       date,                               -- the day in that reader's time zone
    parent          uuid,                               -- the task that caused this one
    callback_url    text,
    idempotency_key text,
    request_hash    text        not null,
    traceparent     text,                               -- W3C trace context of what caused the task; null without traces
    priority        smallint    not null default 1 check (priority between 0 and 3),
    max_attempts    smallint    not null default 5 check (max_attempts between 1 and 100),
    created_at      timestamptz not null default now(),
    replays         smallint    not null default 0,     -- how often the task was replayed after it had ended
    replayed_at     timestamptz,                        -- the last replay
    -- The columns below are null until the task ends.
    status          text        check (status in ('completed', 'failed', 'cancelled')),
    result          jsonb,
    error           text,
    message         text,
    progress        real,
    attempt         smallint,
    started_at      timestamptz,
    finished_at     timestamptz,
    ended_by        uuid,                               -- the lease token of the final outcome: identifies its repetitions
    check ((status is null) = (finished_at is null))
) with (fillfactor = 50);

-- Each listing reads one owner and kind, of all days or of one, or merges all of them (public.list_tasks).
create index tasks_newest on public.tasks (owner, kind, created_at desc, task_id desc);
create index tasks_by_date on public.tasks (source_date, owner, kind, created_at desc, task_id desc)
    where source_date is not null;
create index tasks_of_reader on public.tasks (reader_id) where reader_id is not null;
create unique index tasks_idempotency_key on public.tasks (owner, idempotency_key) where idempotency_key is not null;

-- Returns an error without what differs between tasks that fail for the same reason: e-mail addresses, ids and numbers. At most
-- 300 characters, because the result is indexed.
create function public.fold_error(p_error text) returns text
language sql immutable security invoker set search_path = '' as $$
    select left(regexp_replace(regexp_replace(regexp_replace(
               left(p_error, 1000),
               '[^\s<>"@,;:()]+@[^\s<>"@,;:()]+', '<address>', 'g'),
               '\m([0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|(?=[a-fA-F]*\d)[0-9a-fA-F]{8,})\M', '<id>', 'g'),
               '\d+([.,:]\d+)*', '<number>', 'g'), 300)
$$;

-- One narrow row for each unfinished task. A claim updates no indexed column; the end deletes the row. The row of a permanently
-- failed task stays as a dead letter, which can be listed and replayed. Every task leaves dead rows within seconds, so
-- autovacuum waits for a fixed number of them and runs at full speed.
create table public.queue (
    task_id          uuid        primary key,
    kind             text        not null,
    priority         smallint    not null,
    run_at           timestamptz not null,
    max_attempts     smallint    not null,
    attempt          smallint    not null default 0,
    worker_id        uuid,                              -- the worker that holds the lease; null while nobody does
    lease_token      uuid,                              -- new at each claim; kept after an outcome, to identify its repetitions
    started_at       timestamptz,                       -- when the first attempt started
    cancel_requested boolean     not null default false,
    waits_for        uuid,                              -- the task that must end first
    snoozed_since    timestamptz,                       -- when the current series of snoozes began
    progress         real        not null default 0 check (progress between 0 and 1),
    message          text,
    error            text,                              -- the error of the last failed attempt
    updated_at       timestamptz not null default now(),
    dead_letter      boolean     not null default false,
    -- Groups dead letters with one cause. Computed when a task dies; null until then.
    cause            text generated always as (case when dead_letter then public.fold_error(coalesce(error, '')) end) stored
) with (
    fillfactor = 60,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.1,
    autovacuum_vacuum_cost_delay = 0
);

-- A claim reads one (kind, priority) at a time, beginning with the earliest run_at: it passes neither delayed tasks nor the
-- backlog of another kind. Claimed tasks stay in the index, so a claim changes no index.
create index queue_claim on public.queue (kind, priority, run_at, task_id) where not dead_letter;
create index queue_cancel on public.queue (task_id) where cancel_requested;
create index queue_waiting on public.queue (waits_for) where waits_for is not null;
create index queue_dead_letters on public.queue (kind, task_id) where dead_letter;
create index queue_causes on public.queue (kind, cause, task_id) where dead_letter;

alter table public.tasks enable row level security;
alter table public.queue enable row level security;

-- A task with its current status, without payload and result, which can be large.
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

-- Creates the callback of a task in the transaction that ends it. The id comes from the task's id and its number of replays, so
-- each end has exactly one callback.
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
    with created as (
        insert into public.tasks (
            task_id, owner, kind, payload, source_date, reader_id, parent, request_hash, traceparent, priority, max_attempts)
        values (callback, new.owner, 'callback', jsonb_build_object('url', new.callback_url, 'event', event),
                new.source_date, new.reader_id, new.task_id, '', new.traceparent, 1, 10)
        on conflict do nothing
        returning *
    )
    insert into public.queue (task_id, kind, priority, run_at, max_attempts)
    select task_id, kind, priority, now(), max_attempts from created;
    return null;
end
$$;

create trigger tasks_enqueue_callback
    after update of status on public.tasks
    for each row
    when (new.status is not null and old.status is null and new.callback_url is not null and new.kind <> 'callback')
    execute function public.enqueue_callback();

-- Keeps a task's progress from going backwards: another attempt, a snooze and a lost worker set it to 0. A replay of a dead
-- letter starts at 0. The trigger's condition needs no function call, so other updates cost nothing.
create function public.keep_progress() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    new.progress := old.progress;
    return new;
end
$$;

create trigger queue_keep_progress before update of progress on public.queue
    for each row when (new.progress < old.progress and (new.dead_letter or not old.dead_letter))
    execute function public.keep_progress();

-- Makes the tasks that wait for p_task_id ready, 1,000 at most. public.wake_waiting_tasks() handles the rest, and tasks that
-- began to wait at the same moment.
create function public.wake_tasks_waiting_for(p_task_id uuid) returns integer
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

-- Makes tasks ready whose awaited task has ended and that public.wake_tasks_waiting_for() did not reach.
create function public.wake_waiting_tasks() returns void
language plpgsql security invoker set search_path = '' as $$
declare
    awaited uuid := (select waits_for from public.queue where waits_for is not null order by waits_for limit 1);
begin
    -- One index probe for each awaited task, however many tasks wait for it.
    while awaited is not null loop
        perform public.wake_tasks_waiting_for(awaited)
           from public.tasks where task_id = awaited and status is not null;
        awaited := (select waits_for from public.queue where waits_for > awaited order by waits_for limit 1);
    end loop;
end
$$;

-- Returns the owners that have tasks, with one index probe for each owner (a loose index scan:
-- https://wiki.postgresql.org/wiki/Loose_indexscan).
create function public.task_owners() returns setof text
language sql stable security invoker set search_path = '' as $$
    with recursive owners as (
        (select owner from public.tasks order by owner limit 1)
        union all
        select (select t.owner from public.tasks t where t.owner > o.owner order by t.owner limit 1)
          from owners o where o.owner is not null)
    select owner from owners where owner is not null
$$;

-- Returns {task}. The object wraps the row because the client treats a top-level `message` as an error.
create function public.task_view(p_task_id uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object('task', to_jsonb(r)) from public.task_records r where r.task_id = p_task_id
$$;

-- Permissions.
grant usage on schema public to service_role;
revoke all on public.tasks, public.queue, public.task_records from public, anon, authenticated;
grant select, insert, update, delete on public.tasks, public.queue to service_role;
grant select on public.task_records to service_role;
revoke execute on function
    public.fold_error, public.enqueue_callback, public.keep_progress, public.wake_tasks_waiting_for, public.wake_waiting_tasks,
    public.task_owners, public.task_view
    from public, anon, authenticated;
grant execute on function
    public.fold_error, public.enqueue_callback, public.keep_progress, public.wake_tasks_waiting_for, public.wake_waiting_tasks,
    public.task_owners, public.task_view
    to service_role;
