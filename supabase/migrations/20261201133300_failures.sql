-- The list of single failures, and everything about one task, for operators.

-- Lists tasks that failed permanently and, unless p_status is 'failed', unfinished tasks whose last attempt failed or was
-- snoozed, the newest failure first, after a cursor (p_before, p_before_id). Null parameters select all. p_text is a part of
-- the error, in any case; p_cause is that of a group (public.failure_groups).
create function public.list_failures(
    p_owner text, p_kind text, p_status text, p_source_date date, p_cause text, p_text text, p_before timestamptz,
    p_before_id uuid, p_limit integer
) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
begin
    return (
        with failures as (
            select task_id, kind, error, updated_at from public.queue
             where dead_letter and coalesce(p_status = 'failed', true) and (p_cause is null or cause = p_cause)
            union all
            select task_id, kind, error, updated_at from public.queue
             where not dead_letter and error is not null and p_cause is null
               and coalesce((worker_id is not null) = (p_status = 'running'), true)
               and coalesce(p_status in ('pending', 'running'), true)),
        page as (
            select f.task_id
              from failures f join public.tasks t using (task_id)
             where (p_kind is null or f.kind = p_kind) and (p_owner is null or t.owner = p_owner)
               and (p_source_date is null or t.source_date = p_source_date)
               and (p_text is null or strpos(lower(coalesce(t.error, f.error)), lower(p_text)) > 0)
               and (p_before is null or (coalesce(t.finished_at, f.updated_at), f.task_id) < (p_before, p_before_id))
             order by coalesce(t.finished_at, f.updated_at) desc, f.task_id desc limit p_limit)
        select coalesce(jsonb_agg(to_jsonb(r) order by r.updated_at desc, r.task_id desc), '[]')
          from page p join public.task_records r using (task_id));
end
$$;

-- Returns a task's last callbacks, ten at most. Their ids come from the task's id and its replays (public.enqueue_callback).
create function public.callbacks_of_task(p_task_id uuid, p_replays integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(r) order by n desc), '[]')
      from generate_series(greatest(p_replays - 9, 0), p_replays) as n
      join public.task_records r on r.task_id = md5('callback:' || p_task_id || ':' || n)::uuid
$$;

-- Returns the last ten attempts of a task that failed, were snoozed or lost their worker, the last one first.
create function public.attempts_of_task(p_task_id uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object(
               'worker_id', a.worker_id, 'host', a.host, 'attempt', a.attempt, 'outcome', a.outcome,
               'started_at', public.claim_time(a.lease_token), 'ended_at', a.ended_at, 'error', a.error)
               order by a.ended_at desc, a.lease_token desc), '[]')
      from public.task_attempts a where a.task_id = p_task_id
$$;

-- Returns the delivery that a digest task resulted in, or that a delivery task sends; null if there is none.
create function public.delivery_of_task(p_task public.tasks) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
               'delivery_id', d.delivery_id, 'kind', d.kind, 'local_day', d.local_day, 'status', d.status, 'reason', d.reason,
               'task_id', d.task_id, 'begun_at', d.begun_at, 'ended_at', d.ended_at, 'resolved_by', d.resolved_by)
      from public.deliveries d
     where d.reader_id = p_task.reader_id
       and (d.digest_id = p_task.task_id
            or p_task.kind = 'delivery' and d.delivery_id::text = p_task.payload ->> 'delivery_id')
     order by d.local_day desc, d.kind limit 1
$$;

-- Returns everything about a task that an operator may see, of one moment; null if there is none. A payload of more than 100,000
-- bytes is omitted (null).
create function public.task_details(p_task_id uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
               'at', now(), 'task', to_jsonb(r), 'payload', case when octet_length(t.payload::text) <= 100000 then t.payload end,
               'traceparent', t.traceparent, 'replays', t.replays,
               'waits_for', (select to_jsonb(w) from public.queue q join public.task_records w on w.task_id = q.waits_for
                              where q.task_id = t.task_id),
               'paused', case when t.status is null then coalesce(
                   (select p.reason from public.pauses p where p.kind = t.kind and p.ended_at is null),
                   case when t.kind = 'delivery' then public.deliveries_paused() end) end,
               'waiting_tasks', (select count(*) from (
                   select from public.queue q where q.waits_for = t.task_id limit 1000) w),
               'callbacks', public.callbacks_of_task(t.task_id, t.replays), 'delivery', public.delivery_of_task(t),
               'attempts', public.attempts_of_task(t.task_id))
      from public.tasks t join public.task_records r using (task_id) where t.task_id = p_task_id
$$;

-- Permissions.
revoke execute on function
    public.list_failures, public.callbacks_of_task, public.attempts_of_task, public.delivery_of_task, public.task_details
    from public, anon, authenticated;
grant execute on function
    public.list_failures, public.callbacks_of_task, public.attempts_of_task, public.delivery_of_task, public.task_details
    to service_role;
