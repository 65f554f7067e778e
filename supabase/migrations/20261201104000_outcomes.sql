-- Outcomes: what workers report about the tasks that they hold.

-- How long a task may be snoozed before it fails. A fetch waits for sources that cannot be reached. A digest waits longer than
-- its fetch, so that it sees how the fetch ended.
create function public.snooze_limit(p_kind text) returns interval
language sql immutable security invoker set search_path = '' as $$
    select case p_kind when 'fetch' then interval '24 hours' when 'digest' then interval '26 hours' else interval '2 hours' end
$$;

-- Locks the queue rows of a worker's call, from all of its lists, in one order. Every function uses the same order of locks:
--   readers (owner, external_id), queue (task_id), tasks (task_id), deliveries (delivery_id), delivery_pause
create function public.lock_queue_rows(p_completed jsonb, p_outcomes jsonb, p_progress jsonb) returns void
language plpgsql security invoker
set search_path = '' set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
begin
    perform 1 from public.queue
      where task_id in (
        select g.task_id from jsonb_to_recordset(p_completed) as g(task_id uuid)
        union all select g.task_id from jsonb_to_recordset(p_outcomes) as g(task_id uuid)
        union all select g.task_id from jsonb_to_recordset(p_progress) as g(task_id uuid))
      order by task_id
        for update;
end
$$;

-- Explains outcomes that were not applied: the verdict is `applied_already` if the lease token ended the task or returned it to
-- the queue before, else `lost`.
create function public.rejected_outcomes(p_outcomes jsonb) returns jsonb
language plpgsql stable security invoker set search_path = ''
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
begin
    return (
        select coalesce(jsonb_agg(jsonb_build_object(
                   'task_id', g.task_id, 'status', r.status,
                   'verdict', case when g.lease_token in (t.ended_by, q.lease_token) then 'applied_already' else 'lost' end)),
                   '[]')
          from jsonb_to_recordset(p_outcomes) as g(task_id uuid, lease_token uuid)
          left join public.tasks t on t.task_id = g.task_id
          left join public.queue q on q.task_id = g.task_id
          left join public.task_records r on r.task_id = g.task_id);
end
$$;

-- Ends completed tasks: [{task_id, lease_token, result, digest}]. An outcome applies only if the worker holds the task under the
-- token; returns rejected_outcomes() of the others. The caller holds the locks of public.lock_queue_rows(). Digests are inserted in
-- the order of their readers, because each insert writes rows of its reader and two calls may have digests of the same two readers.
create function public.complete_tasks(p_worker uuid, p_completed jsonb, p_now timestamptz) returns jsonb
language plpgsql security invoker
set search_path = '' set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
declare
    ended uuid[];
begin
    with removed as (
        delete from public.queue q
         using jsonb_to_recordset(p_completed) as g(task_id uuid, lease_token uuid, result jsonb, digest jsonb)
         where q.task_id = g.task_id and q.lease_token = g.lease_token and q.worker_id is not null
        returning q.task_id, q.lease_token, q.attempt, q.started_at, q.message, g.result, g.digest
    ),
    recorded as (
        update public.tasks t
           set status = 'completed', result = g.result, message = g.message, progress = 1, attempt = g.attempt,
               started_at = g.started_at, finished_at = p_now, ended_by = g.lease_token
          from removed g
         where t.task_id = g.task_id
        returning t.task_id, t.owner, t.source_date, t.reader_id, t.local_day, g.digest
    ),
    inserted as (
        insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest)
        select task_id, owner, source_date, reader_id, local_day, digest
          from recorded where digest is not null
         order by reader_id, local_day, task_id
        on conflict do nothing
    )
    select array_agg(task_id) into ended from recorded;
    if cardinality(ended) = jsonb_array_length(p_completed) then
        return '[]';
    end if;
    return public.rejected_outcomes((
        select jsonb_agg(e) from jsonb_array_elements(p_completed) e
         where ended is null or (e ->> 'task_id')::uuid <> all (ended)));
end
$$;

-- Decides the next status of each outcome: `pending`, or the status that ends the task. `awaited_ended`: the task that it wants
-- to wait for has ended. Outcomes whose lease is not valid are omitted. The caller holds the locks of the queue rows.
create function public.judge_outcomes(p_outcomes jsonb, p_now timestamptz)
returns table (
    task_id uuid, lease_token uuid, outcome text, error text, delay_seconds double precision, waits_for uuid,
    attempt smallint, started_at timestamptz, last_message text, last_progress real, last_error text, next text,
    awaited_ended boolean)
language plpgsql stable rows 10 security invoker
set search_path = '' set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
begin
    return query
    select g.task_id, g.lease_token, g.outcome, g.error, g.delay_seconds, g.waits_for,
           q.attempt, q.started_at, q.message, q.progress, q.error,
           case
               when g.outcome = 'cancelled' then 'cancelled'
               when g.outcome = 'failed' and (g.permanent or q.attempt >= q.max_attempts) then 'failed'
               -- A delivery has its own deadline: the time at which the reader's next one is due. The second condition subtracts
               -- pauses; it is evaluated only for the few tasks that meet the first one.
               when g.outcome = 'snoozed' and q.kind <> 'delivery'
                    and q.snoozed_since < p_now - public.snooze_limit(q.kind)
                    and q.snoozed_since < p_now - public.snooze_limit(q.kind) - public.paused_for(
                        array[q.kind, (select w.kind from public.tasks w where w.task_id = coalesce(g.waits_for, q.waits_for))],
                        q.snoozed_since, p_now) then 'failed'
               when q.cancel_requested then 'cancelled'
               else 'pending'
           end,
           g.outcome = 'snoozed' and exists (
               select from public.tasks w where w.task_id = g.waits_for and w.status is not null)
      from jsonb_to_recordset(p_outcomes) as g(
               task_id uuid, lease_token uuid, outcome text, error text, delay_seconds double precision, permanent boolean,
               waits_for uuid)
      join public.queue q on q.task_id = g.task_id
     where q.lease_token = g.lease_token and q.worker_id is not null;
end
$$;

-- Applies all other outcomes: [{task_id, lease_token, outcome, error, delay_seconds, permanent, waits_for}]. An outcome applies
-- only if the worker holds the task under the token; returns rejected_outcomes() of the others.
create function public.apply_outcomes(p_worker uuid, p_outcomes jsonb, p_now timestamptz) returns jsonb
language plpgsql security invoker
set search_path = '' set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
declare
    applied uuid[];
begin
    -- Locked before the decision: a cancellation request comes before it or after it.
    perform public.lock_queue_rows('[]', p_outcomes, '[]');
    with judged as materialized (
        select * from public.judge_outcomes(p_outcomes, p_now)
    ),
    gone as (
        delete from public.queue q using judged j where q.task_id = j.task_id and j.next = 'cancelled'
    ),
    kept as (
        update public.queue q
           set worker_id = null,
               dead_letter = j.next = 'failed',
               -- A snooze or a shutdown does not use up an attempt.
               attempt = q.attempt - (j.outcome in ('snoozed', 'released') and j.next = 'pending')::integer,
               snoozed_since = case when j.outcome = 'snoozed' then coalesce(q.snoozed_since, p_now) end,
               waits_for = case when j.outcome = 'snoozed' and not j.awaited_ended then j.waits_for end,
               run_at = case
                   when j.outcome in ('failed', 'snoozed') and not j.awaited_ended
                       then p_now + make_interval(secs => coalesce(j.delay_seconds, 0))
                   else p_now
               end,
               error = coalesce(j.error, q.error),
               message = case when j.outcome = 'snoozed' then j.error end,
               progress = 0,
               updated_at = p_now
          from judged j
         where q.task_id = j.task_id and j.next <> 'cancelled'
    ),
    ended as (
        update public.tasks t
           set status = j.next, attempt = j.attempt, started_at = j.started_at, finished_at = p_now,
               ended_by = j.lease_token, message = j.last_message, progress = j.last_progress,
               error = case
                   when j.outcome = 'snoozed' and j.next = 'failed'
                       then 'waited longer than ' || public.snooze_limit(t.kind) || ': '
                            || coalesce(regexp_replace(j.error, ', will be retried in \d+ s', '', 'g'), '')
                   else coalesce(j.error, j.last_error)
               end
          from judged j
         where t.task_id = j.task_id and j.next <> 'pending'
    ),
    attempts as (
        insert into public.task_attempts (task_id, lease_token, worker_id, host, attempt, outcome, ended_at, error)
        select j.task_id, j.lease_token, p_worker, (select w.host from public.workers w where w.worker_id = p_worker), j.attempt,
               j.outcome, p_now, left(j.error, 2000)
          from judged j where j.outcome in ('failed', 'snoozed')
        on conflict do nothing
    )
    select array_agg(task_id) into applied from judged;
    return public.rejected_outcomes((
        select coalesce(jsonb_agg(e), '[]') from jsonb_array_elements(p_outcomes) e
         where applied is null or (e ->> 'task_id')::uuid <> all (applied)));
end
$$;

-- Records the progress of running tasks: [{task_id, lease_token, message, progress}]. Skips tasks that the worker no longer
-- holds.
create function public.record_progress(p_worker uuid, p_progress jsonb, p_now timestamptz) returns void
language plpgsql security invoker set search_path = ''
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
begin
    update public.queue q
       set message = g.message, progress = g.progress, updated_at = p_now
      from jsonb_to_recordset(p_progress) as g(task_id uuid, lease_token uuid, message text, progress real)
     where q.task_id = g.task_id and q.lease_token = g.lease_token and q.worker_id is not null;
end
$$;

-- Permissions.
revoke execute on function
    public.snooze_limit, public.lock_queue_rows, public.rejected_outcomes, public.complete_tasks,
    public.judge_outcomes, public.apply_outcomes, public.record_progress
    from public, anon, authenticated;
grant execute on function
    public.snooze_limit, public.lock_queue_rows, public.rejected_outcomes, public.complete_tasks,
    public.judge_outcomes, public.apply_outcomes, public.record_progress
    to service_role;
