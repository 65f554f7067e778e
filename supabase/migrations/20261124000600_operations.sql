-- What each worker lacks in its settings, so that operators see why mails or callbacks wait.
create function public.schema_version() returns integer
language sql immutable security invoker set search_path = '' as $$ select 7 $$;

-- {"depth": [{kind, status, tasks, oldest_seconds}]}: unfinished tasks, and how long the oldest has been ready.
create function public.queue_stats() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object('depth', coalesce(jsonb_agg(to_jsonb(d)), '[]'))
      from (select kind, case when worker_id is null then 'pending' else 'running' end as status, count(*) as tasks,
                   greatest(0, extract(epoch from now() - min(run_at))) as oldest_seconds
              from public.queue
             where not dead_letter
             group by 1, 2) d
$$;

-- Records that have neither an end nor a place in the queue. There can be none: both are written local_service.
create function public.orphaned_tasks(p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(o.task_id), '[]')
      from (select t.task_id from public.tasks t
             where t.status is null and not exists (select from public.queue q where q.task_id = t.task_id)
             limit p_limit) o
$$;

-- Removes what was stored longer ago than it is to be kept, some p_batch rows of each kind a call (an edition goes with all
-- of its articles); answers how many. It waits for nobody's lock, so no two calls wait for each other: what another one
-- has in hand is left to the next.
create function public.retain(p_task_days integer, p_edition_days integer, p_batch integer) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    old uuid[];
    gone_tasks integer;
    gone_articles integer;
    gone_editions date[];
    gone_entries integer;
    gone_calls integer;
    gone_items integer := 0;
    gone_shown integer;
    free boolean := public.lock_items(false);
begin
    -- By the index of listings, the oldest first: no index is about a task's end. Queue before tasks, as everywhere.
    old := array(
        select n.task_id
          from public.task_owners() as o(owner)
         cross join unnest(array['fetch', 'digest', 'delivery', 'callback']) as k(kind)
         cross join lateral (
            select t.task_id from public.tasks t
             where t.owner = o.owner and t.kind = k.kind and t.created_at < now() - make_interval(days => p_task_days)
               and t.finished_at < now() - make_interval(days => p_task_days)
             order by t.created_at, t.task_id limit p_batch) n
         limit p_batch);
    with dead_letter as materialized (
        select task_id from public.queue where task_id = any (old) and dead_letter order by task_id for update skip locked)
    delete from public.queue q using dead_letter where q.task_id = dead_letter.task_id;
    with gone as materialized (
        select task_id from public.tasks t
         where task_id = any (old) and status is not null
           and not exists (select from public.queue q where q.task_id = t.task_id)
         order by task_id for update skip locked)
    delete from public.tasks t using gone where t.task_id = gone.task_id;
    get diagnostics gone_tasks = row_count;

    -- Articles and items change under one lock: who has it is not waited for, and leaves editions to the next call.
    -- Locked before its articles, as whoever inserts one locks it; begin_edition() waits here, and makes it anew.
    with old as materialized (
        select source_date from public.editions
         where updated_at < now() - make_interval(days => p_edition_days) and free
         order by source_date limit p_batch for update skip locked),
    sized as (
        select source_date, size, sum(size) over (order by source_date) as up_to_it
          from old cross join lateral (
            select count(*) as size from public.articles a where a.source_date = old.source_date) c)
    select array_agg(source_date) into gone_editions from sized where up_to_it - size < p_batch;
    delete from public.articles where source_date = any (gone_editions);
    get diagnostics gone_articles = row_count;
    delete from public.editions where source_date = any (gone_editions);
    -- An item without a copy can be shown to nobody; but its keys are remembered for as long as anybody may have been shown it.
    if free then
        delete from public.items where item_id in (
            select i.item_id from public.items i
             where i.first_seen < now() - make_interval(days => p_edition_days + 60)
               and not exists (select from public.articles a where a.item_id = i.item_id)
             order by i.first_seen limit p_batch);
        get diagnostics gone_items = row_count;
    end if;
    -- What is gone can be fetched again, also where its first fetch is still remembered.
    with fetched as materialized (
        select task_id from public.tasks
         where idempotency_key in (select 'own:fetch:' || d from unnest(gone_editions) as d) and owner = 'system' and status = 'completed'
           for update skip locked)
    update public.tasks t set idempotency_key = null from fetched where t.task_id = fetched.task_id;

    with old as materialized (
        select key from public.cache_entries where expires_at < now()
         order by expires_at limit p_batch for update skip locked)
    delete from public.cache_entries c using old where c.key = old.key;
    get diagnostics gone_entries = row_count;
    -- A worker that is gone for a day repeats no call; its own row went when its tasks were taken back.
    delete from public.worker_calls where (worker_id, number) in (
        select worker_id, number from public.worker_calls c
         where answered_at < now() - interval '1 day'
           and not exists (select from public.workers w where w.worker_id = c.worker_id)
         limit p_batch);
    get diagnostics gone_calls = row_count;
    -- A month longer than the articles, by which they could come again.
    with old as materialized (
        select reader_id, key from public.shown_items where shown_at < now() - make_interval(days => p_edition_days + 30)
         limit p_batch for update skip locked)
    delete from public.shown_items s using old where s.reader_id = old.reader_id and s.key = old.key;
    get diagnostics gone_shown = row_count;
    return jsonb_build_object('items', gone_items, 'shown', gone_shown, 'tasks', gone_tasks, 'articles', gone_articles,
        'editions', coalesce(cardinality(gone_editions), 0), 'cache_entries', gone_entries, 'calls', gone_calls);
end
$$;

revoke execute on function public.schema_version, public.queue_stats, public.orphaned_tasks, public.retain from public, anon, authenticated;

grant execute on function public.schema_version, public.queue_stats, public.orphaned_tasks, public.retain to service_role;
