-- The overview of operators.

-- Returns the sources that were read in the last 90 days or have items in the editions of the last seven days, with the number of
-- items of each of these days.
create function public.source_states() returns jsonb
language sql stable security invoker set search_path = '' as $$
    with days as materialized (
        select e.source_date, c.key as name, c.value::integer as items
          from public.editions e cross join lateral jsonb_each_text(e.counts) c
         where e.source_date > (now() at time zone 'UTC')::date - 7)
    select coalesce(jsonb_agg(jsonb_build_object(
               'name', name, 'succeeded_at', s.succeeded_at, 'source_date', s.source_date, 'items', s.items,
               'failed_at', s.failed_at, 'error', s.error, 'days', d.days) order by name), '[]')
      from public.sources s
      full join (select name, jsonb_agg(jsonb_build_object('day', source_date, 'items', items) order by source_date) as days
                   from days group by name) d using (name)
$$;

-- Returns the p_limit tasks that failed permanently last.
create function public.last_failed(p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object(
               'task_id', task_id, 'kind', t.kind, 'owner', t.owner, 'error', coalesce(t.error, q.error),
               'attempt', q.attempt, 'source_date', t.source_date, 'reader_id', t.reader_id, 'created_at', t.created_at,
               'failed_at', d.updated_at) order by d.updated_at desc, task_id), '[]')
      from (select task_id, updated_at from public.queue
             where dead_letter order by updated_at desc, task_id limit p_limit) d
      join public.queue q using (task_id)
      join public.tasks t using (task_id)
$$;

-- Returns the deliveries: `paused` (the reason), the numbers of pending, sending and in-doubt ones, and the last p_limit in doubt.
create function public.delivery_overview(p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
               'paused', public.deliveries_paused(),
               'pending', (select count(*) from public.deliveries where status = 'pending'),
               'sending', (select count(*) from public.deliveries where status = 'sending'),
               'in_doubt', (select count(*) from public.deliveries where status = 'in_doubt'),
               'latest_in_doubt', public.list_deliveries(null, 'in_doubt', null, null, null, p_limit))
$$;

-- Returns the whole overview in one statement, so that all of it describes the same moment.
create function public.operator_overview(p_hours integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    with open as materialized (select * from public.queue_by_kind_and_worker()),
    kinds as (
        select kind, coalesce(sum(ready), 0) as ready, coalesce(sum(not_ready), 0) as not_ready,
               coalesce(sum(running), 0) as running, coalesce(sum(dead_letter), 0) as failed, max(oldest) as oldest_seconds
          from unnest(array['fetch', 'digest', 'delivery', 'callback', 'import']) as k(kind) full join open using (kind)
         group by kind)
    select jsonb_build_object(
        'at', now(),
        'health', public.operator_health(),
        'kinds', (select jsonb_agg(to_jsonb(k) || jsonb_build_object('pause', to_jsonb(p)) order by k.kind)
                    from kinds k left join public.pauses p on p.kind = k.kind and p.ended_at is null),
        'task_stats', public.task_stat_series(p_hours),
        'workers', public.worker_list((
            select jsonb_object_agg(h.worker_id, h.tasks)
              from (select worker_id, sum(running) as tasks from open where worker_id is not null group by 1) h)),
        'circuit_breakers', public.breaker_states(),
        'sources', public.source_states(),
        'failed_tasks', public.last_failed(20),
        'deliveries', public.delivery_overview(20),
        -- Counted once a minute by a worker; without one, here.
        'readers', coalesce(
            (select readers from public.delivery_rate where computed_at > now() - interval '10 minutes'),
            public.reader_counts()),
        'model_usage_today', public.model_usage_today())
$$;

-- Returns {task_ids, next}: up to p_limit tasks that have neither ended nor a row in the queue, among the p_scan tasks after the id
-- p_after (null: from the first), ordered by id; and the p_after of the next page, null after the last task. There should be none:
-- both rows are written together. No index finds unfinished tasks, so a page reads a bounded part of the table.
create function public.orphaned_tasks(p_after uuid, p_limit integer, p_scan integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    with scanned as materialized (
        select t.task_id, t.status from public.tasks t
         where t.task_id > coalesce(p_after, '00000000-0000-0000-0000-000000000000'::uuid)
         order by t.task_id limit p_scan),
    orphaned as materialized (
        select s.task_id from scanned s
         where s.status is null and not exists (select from public.queue q where q.task_id = s.task_id)
         order by s.task_id limit p_limit + 1),
    listed as materialized (select task_id from orphaned order by task_id limit p_limit)
    select jsonb_build_object(
               'task_ids', (select coalesce(jsonb_agg(task_id order by task_id), '[]') from listed),
               'next', case
                   when (select count(*) from orphaned) > p_limit then (select task_id from listed order by task_id desc limit 1)
                   when (select count(*) from scanned) = p_scan then (select task_id from scanned order by task_id desc limit 1)
               end)
$$;

-- Permissions.
revoke execute on function
    public.source_states, public.last_failed, public.delivery_overview, public.operator_overview,
    public.orphaned_tasks
    from public, anon, authenticated;
grant execute on function
    public.source_states, public.last_failed, public.delivery_overview, public.operator_overview,
    public.orphaned_tasks
    to service_role;
