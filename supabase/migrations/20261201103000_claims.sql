-- Claims: which tasks a worker gets, and what it receives about them.

-- Claims up to p_slots tasks, and of each kind up to its limit; paused kinds are skipped. Order: priority, run_at, task_id, with
-- one index probe for each kind and priority. A probe starts at its mark, the first ready task of the probe before: earlier
-- entries are claimed or deleted, and deleted ones stay in the index while any snapshot is open. p_from_start ignores the
-- marks, to find tasks that were committed late or returned to the queue.
create function public.claim_tasks(
    p_worker uuid, p_token uuid, p_kinds text[], p_limits integer[], p_slots integer, p_from_start boolean,
    p_now timestamptz, inout p_marks timestamptz[], out claimed uuid[]
)
language plpgsql security invoker set search_path = '' as $$
declare
    -- A mark stays slightly behind the clock: a task created now may be committed later.
    newest_mark timestamptz := p_now - interval '100 milliseconds';
    paused text[] := array(select kind from public.pauses where ended_at is null);
    first_run_at timestamptz;
    row_ids tid[] := '{}';
    place integer := 0;
    batch record;
begin
    claimed := '{}';
    for claim_priority in 0..3 loop
        for n in 1..cardinality(p_kinds) loop
            place := place + 1;
            continue when p_limits[n] <= 0 or cardinality(claimed) >= p_slots or p_kinds[n] = any (paused);
            first_run_at := case when p_from_start then '-infinity' else p_marks[place] end;
            select array_agg(c.row_id) as row_ids, array_agg(c.task_id) as ids, min(c.run_at) as first_ready into batch
              from (
                select q.ctid as row_id, q.run_at, q.task_id
                  from public.queue q
                 where q.kind = p_kinds[n] and q.priority = claim_priority and not q.dead_letter and q.worker_id is null
                   and q.run_at between first_run_at and p_now
                 order by q.run_at, q.task_id
                 limit least(p_limits[n], p_slots - cardinality(claimed))
                   for update skip locked) c;
            p_marks[place] := least(batch.first_ready, greatest(p_marks[place], newest_mark));
            continue when batch.ids is null;
            row_ids := row_ids || batch.row_ids;
            claimed := claimed || batch.ids;
            p_limits[n] := p_limits[n] - cardinality(batch.ids);
        end loop;
    end loop;
    if claimed <> '{}' then
        update public.queue q
           set worker_id = p_worker, lease_token = p_token, attempt = q.attempt + 1,
               started_at = coalesce(q.started_at, p_now), updated_at = p_now
         where q.ctid = any (row_ids);
    end if;
end
$$;

-- Describes the claimed tasks that the worker still holds: [id, kind, attempt, maximum attempts, seconds since the first attempt
-- started (pauses excluded), source_date, payload, its trace context or else the task that caused it] for each.
create function public.describe_claimed(p_worker uuid, p_token uuid, p_claimed uuid[]) returns json
language plpgsql stable security invoker set search_path = ''
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
begin
    return (
        select coalesce(json_agg(json_build_array(
                   t.task_id, t.kind, q.attempt, q.max_attempts,
                   case when q.started_at < q.updated_at then extract(epoch from
                       q.updated_at - q.started_at - public.paused_for(array[q.kind, (
                           select w.kind from public.tasks w where w.task_id = q.waits_for)], q.started_at, q.updated_at))
                        else 0 end,
                   t.source_date, t.payload, coalesce(t.traceparent, t.parent::text)) order by c.place), '[]')
          from unnest(p_claimed) with ordinality as c(task_id, place)
          join public.queue q using (task_id)
          join public.tasks t using (task_id)
         where q.lease_token = p_token and q.worker_id = p_worker);
end
$$;

-- Returns the seconds until the next task of these kinds becomes ready; null if there is none.
create function public.seconds_to_next_task(p_kinds text[], p_now timestamptz) returns double precision
language plpgsql stable security invoker set search_path = '' as $$
begin
    return (
        select case when count(*) > 0 then greatest(0, extract(epoch from min(n.run_at) - p_now)) end
          from unnest(p_kinds) as k(kind)
         cross join generate_series(0, 3) as p(priority)
         cross join lateral (
            select q.run_at from public.queue q
             where q.kind = k.kind and q.priority = p.priority and not q.dead_letter and q.run_at > p_now
             order by q.run_at, q.task_id
             limit 1) n);
end
$$;

-- Returns [task_id, lease_token] for each task that the worker holds, or only for those to be cancelled.
create function public.leases_of_worker(p_worker uuid, p_cancelled_only boolean) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
begin
    if p_cancelled_only then
        return (select coalesce(jsonb_agg(jsonb_build_array(task_id, lease_token)), '[]')
                  from public.queue where cancel_requested and worker_id = p_worker);
    end if;
    return (select coalesce(jsonb_agg(jsonb_build_array(task_id, lease_token)), '[]')
              from public.queue where worker_id = p_worker);
end
$$;

-- Permissions.
revoke execute on function
    public.claim_tasks, public.describe_claimed, public.seconds_to_next_task, public.leases_of_worker
    from public, anon, authenticated;
grant execute on function
    public.claim_tasks, public.describe_claimed, public.seconds_to_next_task, public.leases_of_worker
    to service_role;
