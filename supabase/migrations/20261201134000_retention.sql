-- Retention: removes old rows, at most p_batch of each kind a call. It waits for no lock: rows that another transaction has
-- locked are left to the next call.

-- Removes tasks that ended more than p_days ago. It reads the index of listings, oldest first, because no index refers to a
-- task's end. Locks the queue before tasks, as everywhere. Returns the number of tasks.
create function public.prune_tasks(p_days integer, p_batch integer) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    ended_before timestamptz := now() - make_interval(days => p_days);
    old uuid[];
    removed integer;
begin
    old := array(
        select n.task_id
          from public.task_owners() as o(owner)
         cross join unnest(array['fetch', 'digest', 'delivery', 'callback', 'import']) as k(kind)
         cross join lateral (
            select t.task_id from public.tasks t
             where t.owner = o.owner and t.kind = k.kind and t.created_at < ended_before and t.finished_at < ended_before
             order by t.created_at, t.task_id limit p_batch) n
         limit p_batch);
    with locked as materialized (
        select task_id from public.queue where task_id = any (old) and dead_letter order by task_id for update skip locked)
    delete from public.queue q using locked where q.task_id = locked.task_id;
    with gone as materialized (
        select task_id from public.tasks t
         where task_id = any (old) and status is not null
           and not exists (select from public.queue q where q.task_id = t.task_id)
         order by task_id for update skip locked)
    delete from public.tasks t using gone where t.task_id = gone.task_id;
    get diagnostics removed = row_count;
    return removed;
end
$$;

-- Removes editions that were not updated for p_days, with their articles: as many as have fewer than p_batch articles, and at
-- least one. Returns {editions, articles}. The caller holds the lock of public.lock_items(). An edition is locked before its
-- articles, as inserts do; public.begin_edition() waits for it and creates it again.
create function public.prune_editions(p_days integer, p_batch integer) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    removed date[];
    removed_articles integer;
begin
    with old as materialized (
        select source_date from public.editions
         where updated_at < now() - make_interval(days => p_days)
         order by source_date limit p_batch for update skip locked),
    sized as (
        select source_date, size, sum(size) over (order by source_date) as up_to_it
          from old cross join lateral (
            select count(*) as size from public.articles a where a.source_date = old.source_date) c)
    select array_agg(source_date) into removed from sized where up_to_it - size < p_batch;
    delete from public.articles where source_date = any (removed);
    get diagnostics removed_articles = row_count;
    delete from public.editions where source_date = any (removed);
    -- A removed day can be fetched again, also while the record of its first fetch is kept.
    with fetched as materialized (
        select task_id from public.tasks
         where idempotency_key in (select 'own:fetch:' || d from unnest(removed) as d) and owner = 'system'
           and status = 'completed'
           for update skip locked)
    update public.tasks t set idempotency_key = null from fetched where t.task_id = fetched.task_id;
    return jsonb_build_object('editions', coalesce(cardinality(removed), 0), 'articles', removed_articles);
end
$$;

-- Removes items without articles. No digest can show them; but their keys are kept until every record of their being shown is
-- removed. The caller holds the lock of public.lock_items(). Returns the number of items.
create function public.prune_items(p_edition_days integer, p_batch integer) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    removed integer;
begin
    delete from public.items where item_id in (
        select i.item_id from public.items i
         where i.first_seen < now() - make_interval(days => p_edition_days + 60)
           and not exists (select from public.articles a where a.item_id = i.item_id)
         order by i.first_seen limit p_batch);
    get diagnostics removed = row_count;
    return removed;
end
$$;

-- Removes the records of shown items a month after the articles, which could bring the items back. Returns their number.
create function public.prune_shown_items(p_edition_days integer, p_batch integer) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    removed integer;
begin
    with old as materialized (
        select reader_id, key from public.shown_items where shown_at < now() - make_interval(days => p_edition_days + 30)
         order by shown_at limit p_batch for update skip locked)
    delete from public.shown_items s using old where s.reader_id = old.reader_id and s.key = old.key;
    get diagnostics removed = row_count;
    return removed;
end
$$;

-- Removes expired entries of the cache. Returns their number.
create function public.prune_cache_entries(p_batch integer) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    removed integer;
begin
    with old as materialized (
        select key from public.cache_entries where expires_at < now()
         order by expires_at limit p_batch for update skip locked)
    delete from public.cache_entries c using old where c.key = old.key;
    get diagnostics removed = row_count;
    return removed;
end
$$;

-- Removes the calls of workers that have been gone for a day: they repeat no call, and their own rows were deleted when their
-- tasks were reclaimed. Returns the number of calls.
create function public.prune_worker_calls(p_batch integer) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    removed integer;
begin
    with old as materialized (
        select worker_id, number from public.worker_calls c
         where responded_at < now() - interval '1 day'
           and not exists (select from public.workers w where w.worker_id = c.worker_id)
         limit p_batch for update of c skip locked)
    delete from public.worker_calls c using old where c.worker_id = old.worker_id and c.number = old.number;
    get diagnostics removed = row_count;
    return removed;
end
$$;

-- Removes rows older than their retention. Returns {tasks, editions, articles, items, shown, cache_entries, calls, uploads}: the
-- number of each. Articles and items change under one lock; while another transaction holds it, editions and items are left to the
-- next call.
create function public.apply_retention(p_task_days integer, p_edition_days integer, p_batch integer) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    free boolean := public.lock_items(false);
    removed jsonb := jsonb_build_object('tasks', public.prune_tasks(p_task_days, p_batch));
begin
    if free then
        removed := removed || public.prune_editions(p_edition_days, p_batch);
        removed := removed || jsonb_build_object('items', public.prune_items(p_edition_days, p_batch));
    else
        removed := removed || '{"editions": 0, "articles": 0, "items": 0}';
    end if;
    removed := removed || jsonb_build_object('cache_entries', public.prune_cache_entries(p_batch));
    removed := removed || jsonb_build_object('calls', public.prune_worker_calls(p_batch));
    removed := removed || jsonb_build_object('uploads', public.prune_uploads());
    return removed || jsonb_build_object('shown', public.prune_shown_items(p_edition_days, p_batch));
end
$$;

-- Removes readers' digests that were written more than p_days ago. Returns their number.
create function public.prune_digests(p_days integer, p_batch integer) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    gone integer;
begin
    with old as materialized (
        select task_id from public.digests
         where reader_id is not null and created_at < now() - make_interval(days => p_days)
         order by created_at limit p_batch for update skip locked)
    delete from public.digests d using old where d.task_id = old.task_id;
    get diagnostics gone = row_count;
    return gone;
end
$$;

-- Removes old deliveries, audit entries and pauses. Returns {deliveries, audit_entries, pauses}.
create function public.prune_records(p_delivery_days integer, p_audit_days integer, p_batch integer) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    ended_before timestamptz := now() - make_interval(days => p_delivery_days);
    old uuid[];
    gone_deliveries integer;
    gone_audit_entries integer;
    gone_pauses integer;
begin
    -- The delivery of a day prevents a second mail for that day. So it is kept while the task of its digest exists, which may be
    -- replayed, and while its own task exists. The schedule creates no task for a past day.
    old := array(
        select o.delivery_id
          from unnest(array['sent', 'failed', 'skipped', 'in_doubt']) as s(status)
         cross join lateral (
            select d.delivery_id from public.deliveries d
             where d.status = s.status and d.created_at < ended_before and d.ended_at < ended_before
               and not exists (select from public.tasks t where t.task_id = d.digest_id)
               and not exists (select from public.tasks t where t.task_id = d.task_id)
             order by d.created_at, d.delivery_id limit p_batch) o
         limit p_batch);
    -- Checked again under the lock: an admin may have had one of them sent meanwhile.
    with locked as materialized (
        select delivery_id from public.deliveries
         where delivery_id = any (old) and status in ('sent', 'failed', 'skipped', 'in_doubt') and ended_at < ended_before
         order by delivery_id for update skip locked)
    delete from public.deliveries d using locked where d.delivery_id = locked.delivery_id;
    get diagnostics gone_deliveries = row_count;

    with locked as materialized (
        select audit_id from public.audit where created_at < now() - make_interval(days => p_audit_days)
         order by created_at limit p_batch for update skip locked)
    delete from public.audit a using locked where a.audit_id = locked.audit_id;
    get diagnostics gone_audit_entries = row_count;

    -- A pause is kept while an unfinished task began before it ended: time limits exclude pauses (public.paused_for).
    with locked as materialized (
        select pause_id from public.pauses
         where ended_at < now() - make_interval(days => p_audit_days)
           and ended_at < (select coalesce(least(min(started_at), min(snoozed_since)), 'infinity') from public.queue)
         order by pause_id limit p_batch for update skip locked)
    delete from public.pauses p using locked where p.pause_id = locked.pause_id;
    get diagnostics gone_pauses = row_count;
    return jsonb_build_object('deliveries', gone_deliveries, 'audit_entries', gone_audit_entries, 'pauses', gone_pauses);
end
$$;

-- Permissions.
revoke execute on function
    public.prune_tasks, public.prune_editions, public.prune_items, public.prune_shown_items,
    public.prune_cache_entries, public.prune_worker_calls, public.apply_retention, public.prune_digests, public.prune_records
    from public, anon, authenticated;
grant execute on function
    public.prune_tasks, public.prune_editions, public.prune_items, public.prune_shown_items,
    public.prune_cache_entries, public.prune_worker_calls, public.apply_retention, public.prune_digests, public.prune_records
    to service_role;
