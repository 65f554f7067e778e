-- Removes up to p_batch rows of each of these tables; returns {deliveries, acts, pauses}. It waits for no lock: a row that another
-- transaction holds is left to the next call.
create function public.prune_records(p_delivery_days integer, p_audit_days integer, p_batch integer) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    ended_before timestamptz := now() - make_interval(days => p_delivery_days);
    old uuid[];
    gone_deliveries integer;
    gone_acts integer;
    gone_pauses integer;
begin
    -- The row of a reader's day is what keeps a second mail of that day from being made. So it stays while its digest's task is there,
    -- which may be replayed, and while the task that sends it is there. The schedule makes no task for a day that is over.
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
    -- The conditions again: an admin may have had one of them sent after all.
    with locked as materialized (
        select delivery_id from public.deliveries
         where delivery_id = any (old) and status in ('sent', 'failed', 'skipped', 'in_doubt') and ended_at < ended_before
         order by delivery_id for update skip locked)
    delete from public.deliveries d using locked where d.delivery_id = locked.delivery_id;
    get diagnostics gone_deliveries = row_count;

    with locked as materialized (
        select act_id from public.audit where at < now() - make_interval(days => p_audit_days)
         order by at limit p_batch for update skip locked)
    delete from public.audit a using locked where a.act_id = locked.act_id;
    get diagnostics gone_acts = row_count;

    -- Unfinished tasks that were begun before a pause ended have their patience counted without it (public.paused_for).
    with locked as materialized (
        select pause_id from public.pauses
         where ended < now() - make_interval(days => p_audit_days)
           and ended < (select coalesce(least(min(started_at), min(snoozed_since)), 'infinity') from public.queue)
         order by pause_id limit p_batch for update skip locked)
    delete from public.pauses p using locked where p.pause_id = locked.pause_id;
    get diagnostics gone_pauses = row_count;
    return jsonb_build_object('deliveries', gone_deliveries, 'acts', gone_acts, 'pauses', gone_pauses);
end
$$;

revoke execute on function public.prune_records from public, anon, authenticated;

grant execute on function public.prune_records to service_role;
