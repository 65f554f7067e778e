-- Tasks: both the queue and the record that API consumers poll. Creating, cancelling, reporting progress.

create table public.tasks (
    task_id          uuid primary key,
    kind             text not null check (kind in ('fetch', 'digest', 'callback')),
    status           text not null default 'pending'
                     check (status in ('pending', 'running', 'completed', 'failed', 'cancelled')),
    priority         smallint not null default 1 check (priority between 0 and 3),
    run_at           timestamptz not null default now(),
    payload          jsonb not null default '{}',
    result           jsonb,
    error            text,
    message          text,
    progress         real not null default 0 check (progress between 0 and 1),
    source_date      date,
    callback_url     text,
    idempotency_key  text unique,
    request_hash     text not null,
    attempt          integer not null default 0 check (attempt >= 0),
    max_attempts     integer not null default 5 check (max_attempts between 1 and 100),
    lease_token      uuid,
    worker_id        uuid,
    lease_expires_at timestamptz,
    cancel_requested boolean not null default false,
    snoozed_since    timestamptz,
    created_at       timestamptz not null default now(),
    started_at       timestamptz,
    updated_at       timestamptz not null default now(),
    finished_at      timestamptz,
    check ((status in ('completed', 'failed', 'cancelled')) = (finished_at is not null)),
    check (status <> 'running' or (lease_token is not null and lease_expires_at is not null))
) with (
    -- Room on each page for the next version of a row: a progress report touches no index and stays on its page (HOT).
    fillfactor = 80,
    -- Every task leaves several dead rows within seconds: wait for a fixed number of them, not for a fifth of a table
    -- that is mostly finished tasks.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02,
    -- Vacuum at full speed: a small table that changes all the time.
    autovacuum_vacuum_cost_delay = 0
);

-- A claim probes one (kind, priority) at a time from the earliest run_at on: neither delayed tasks nor another kind's
-- backlog lie in its way.
create index tasks_claim on public.tasks (kind, priority, run_at, task_id) where status = 'pending';
create index tasks_lease on public.tasks (lease_expires_at) where status = 'running';
create index tasks_cancel on public.tasks (worker_id) where status = 'running' and cancel_requested;
create index tasks_newest on public.tasks (created_at desc, task_id desc);
create index tasks_by_date on public.tasks (source_date, created_at desc, task_id desc);
create index tasks_finished on public.tasks (finished_at) where finished_at is not null;

create table public.workers (
    worker_id   uuid primary key,
    call_number bigint not null default 0,
    answer      jsonb,
    seen_at     timestamptz not null default now()
) with (
    -- One row a worker, rewritten with every call: room for many versions, and none of them touches an index.
    fillfactor = 20,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0
);
-- Rewritten with every call and read almost never: not worth compressing.
alter table public.workers alter column answer set storage external;

alter table public.tasks enable row level security;
alter table public.workers enable row level security;

-- What an API consumer may see of a task, without its payload and result.
create function public.task_record(task public.tasks) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
        'task_id', task.task_id, 'kind', task.kind, 'status', task.status, 'priority', task.priority,
        'run_at', task.run_at, 'error', task.error, 'message', task.message, 'progress', task.progress,
        'source_date', task.source_date, 'callback_url', task.callback_url, 'attempt', task.attempt,
        'max_attempts', task.max_attempts, 'cancel_requested', task.cancel_requested,
        'created_at', task.created_at, 'started_at', task.started_at, 'updated_at', task.updated_at,
        'finished_at', task.finished_at)
$$;

-- Every way into a final status enqueues the callback in the same transaction. Its id is derived from the task's, so
-- that there is one whatever happens twice.
create function public.enqueue_callback() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.tasks (task_id, kind, payload, source_date, request_hash, max_attempts)
    values (
        md5('callback:' || new.task_id)::uuid,
        'callback',
        jsonb_build_object('url', new.callback_url, 'event', jsonb_build_object(
            'type', 'task.' || new.status,
            'timestamp', new.finished_at,
            'data', public.task_record(new) - 'callback_url')),
        new.source_date,
        md5('callback:' || new.task_id),
        10)
    on conflict do nothing;
    return null;
end
$$;

create trigger tasks_enqueue_callback
    after update of status on public.tasks
    for each row
    when (new.callback_url is not null and new.finished_at is not null and old.finished_at is null
          and new.kind <> 'callback')
    execute function public.enqueue_callback();

-- Creates a task, or finds the one that an earlier call with the same id or idempotency key made.
-- `outcome` is created, existing, or conflict (the same key or id with another body).
-- With p_take_over, a key held by a failed or cancelled task passes to this one.
create function public.create_task(
    p_task_id uuid, p_kind text, p_payload jsonb, p_source_date date, p_priority integer,
    p_delay_seconds double precision, p_max_attempts integer, p_callback_url text,
    p_idempotency_key text, p_take_over boolean
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    -- Whose request it was is no part of what was asked for.
    wanted text := md5(jsonb_build_array(p_kind, p_payload - 'request_id', p_source_date, p_priority, p_callback_url)::text);
    found public.tasks;
begin
    -- Each turn either inserts, finds the task in the way, or frees a key: two suffice, races included.
    for turn in 1..5 loop
        insert into public.tasks (
            task_id, kind, payload, source_date, priority, run_at, max_attempts, callback_url, idempotency_key,
            request_hash)
        values (
            p_task_id, p_kind, p_payload, p_source_date, p_priority, now() + make_interval(secs => p_delay_seconds),
            p_max_attempts, p_callback_url, p_idempotency_key, wanted)
        on conflict do nothing
        returning * into found;
        if found.task_id is not null then
            return jsonb_build_object('outcome', 'created', 'task', public.task_record(found));
        end if;

        select * into found from public.tasks where task_id = p_task_id;
        if found.task_id is null and p_idempotency_key is not null then
            select * into found from public.tasks where idempotency_key = p_idempotency_key for update;
        end if;
        if found.task_id is null then
            continue;  -- it was deleted, or lost its key, in between
        end if;
        if p_take_over and found.task_id <> p_task_id and found.status in ('failed', 'cancelled') then
            update public.tasks set idempotency_key = null where task_id = found.task_id;
            continue;
        end if;
        return jsonb_build_object(
            'outcome', case when found.request_hash = wanted then 'existing' else 'conflict' end,
            'task', public.task_record(found));
    end loop;
    raise exception 'task % could not be created: its key changes hands all the time', p_task_id
        using errcode = '40001';
end
$$;

-- Ends a pending task at once, asks a running one's worker to stop, leaves a finished one alone. Null: no such task.
create function public.cancel_task(p_task_id uuid) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    found public.tasks;
begin
    update public.tasks t
       set status = case t.status when 'pending' then 'cancelled' else t.status end,
           finished_at = case t.status when 'pending' then now() end,
           cancel_requested = true,
           updated_at = now()
     where t.task_id = p_task_id and t.status in ('pending', 'running') and not t.cancel_requested
    returning * into found;
    if found.task_id is null then
        select * into found from public.tasks where task_id = p_task_id;
    end if;
    -- Wrapped: the client takes an answer with a `message` of its own at the top for an error.
    return case when found.task_id is not null then jsonb_build_object('task', public.task_record(found)) end;
end
$$;

-- Shows how far a running task is. False: the lease is another's, or the task has ended.
create function public.report_progress(p_task_id uuid, p_lease_token uuid, p_message text, p_progress real)
returns boolean
language plpgsql security invoker set search_path = '' as $$
begin
    update public.tasks
       set message = p_message, progress = p_progress, updated_at = now()
     where task_id = p_task_id and status = 'running' and lease_token = p_lease_token;
    return found;
end
$$;

revoke all on public.tasks, public.workers from public, anon, authenticated;
revoke execute on function
    public.task_record, public.enqueue_callback, public.create_task, public.cancel_task, public.report_progress
    from public, anon, authenticated;
grant usage on schema public to service_role;
grant select, insert, update, delete on public.tasks, public.workers to service_role;
grant execute on function
    public.task_record, public.enqueue_callback, public.create_task, public.cancel_task, public.report_progress
    to service_role;
