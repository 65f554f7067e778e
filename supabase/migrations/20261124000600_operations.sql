-- What operations need: the schema's version, the queue's figures, and retention.

-- Compared with what the code expects (app/persistence/schema.py): raise both together.
create function public.schema_version() returns integer
language sql immutable security invoker set search_path = '' as $$ select 1 $$;

-- {"depth": [{kind, status, tasks, oldest_seconds}]}: unfinished tasks, and how long the oldest has been ready.
create function public.queue_stats() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object('depth', coalesce(jsonb_agg(to_jsonb(d)), '[]'))
      from (select kind, case when worker_id is null then 'pending' else 'running' end as status, count(*) as tasks,
                   greatest(0, extract(epoch from now() - min(run_at))) as oldest_seconds
              from public.queue
             where not dead
             group by 1, 2) d
$$;

-- Records that have neither an end nor a place in the queue. There can be none: both are written together.
create function public.orphans(p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(o.task_id), '[]')
      from (select t.task_id from public.tasks t
             where t.status is null and not exists (select from public.queue q where q.task_id = t.task_id)
             limit p_limit) o
$$;

-- Removes what is older than it is to be kept, at most p_batch rows of each kind a call; answers how many.
create function public.retain(p_task_days integer, p_edition_days integer, p_batch integer) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    gone_tasks integer;
    gone_articles integer;
    gone_editions integer;
    gone_entries integer;
    gone_workers integer;
begin
    delete from public.tasks where task_id in (
        select task_id from public.tasks where finished_at < now() - make_interval(days => p_task_days)
         order by finished_at limit p_batch for update skip locked);
    get diagnostics gone_tasks = row_count;
    delete from public.articles a using (
        select source_date, source, external_id from public.articles
         where source_date < current_date - p_edition_days
         order by source_date, source, external_id limit p_batch for update skip locked) old
     where (a.source_date, a.source, a.external_id) = (old.source_date, old.source, old.external_id);
    get diagnostics gone_articles = row_count;
    delete from public.editions e where e.source_date in (
        select source_date from public.editions d
         where d.source_date < current_date - p_edition_days
           and not exists (select from public.articles a where a.source_date = d.source_date)
         order by source_date limit p_batch);
    get diagnostics gone_editions = row_count;
    delete from public.cache_entries where key in (
        select key from public.cache_entries where expires_at < now()
         order by expires_at limit p_batch for update skip locked);
    get diagnostics gone_entries = row_count;
    -- A worker that is gone for a day repeats no call.
    delete from public.workers where worker_id in (
        select worker_id from public.workers where seen_at < now() - interval '1 day' limit p_batch
           for update skip locked);
    get diagnostics gone_workers = row_count;
    return jsonb_build_object('tasks', gone_tasks, 'articles', gone_articles, 'editions', gone_editions,
        'cache_entries', gone_entries, 'workers', gone_workers);
end
$$;

revoke execute on function public.schema_version, public.queue_stats, public.retain from public, anon, authenticated;
grant execute on function public.schema_version, public.queue_stats, public.retain to service_role;
