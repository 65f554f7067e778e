-- Rows that several callers lock are locked in one order, whatever order they were given in.
--
--   readers (owner, external_id), then queue (task_id), tasks (task_id), deliveries (delivery_id), delivery_pause
--
-- Until now two imports of the same readers in another order ended in a deadlock, and so did calls of two workers with the same
-- tasks, in about three of 10,000 under leases of a second.

-- Locks the rows of a worker's call before anything is done with them: all of its lists at once, for the lists share one order.
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

revoke execute on function public.lock_queue_rows from public, anon, authenticated;

grant execute on function public.lock_queue_rows to service_role;
