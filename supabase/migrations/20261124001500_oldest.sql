-- Where nothing is ready, nothing has been ready for any time: null, not 0, which is what just became ready.

create or replace function public.queue_by_kind_and_worker()
returns table (kind text, worker_id uuid, ready bigint, later bigint, running bigint, dead bigint, oldest double precision)
language sql stable security invoker set search_path = '' as $$
    select q.kind, q.worker_id, count(*) filter (where q.worker_id is null and q.run_at <= now()),
           count(*) filter (where q.worker_id is null and q.run_at > now()), count(q.worker_id), 0,
           extract(epoch from now() - min(q.run_at) filter (where q.worker_id is null and q.run_at <= now()))
      from public.queue q where not q.dead group by q.kind, q.worker_id
    union all
    select q.kind, null, 0, 0, 0, count(*), null from public.queue q where q.dead group by q.kind
$$;
