-- What the health line needs: facts about the service, each read by few index probes. The code that judges them is
-- app/conditions.py.

-- Returns for each kind for how many seconds its oldest ready task has waited (null: none is ready) and why it is paused.
create function public.kind_health() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_agg(jsonb_build_object(
               'kind', k.kind, 'oldest_seconds', extract(epoch from now() - o.run_at), 'paused', p.reason) order by k.kind)
      from unnest(array['fetch', 'digest', 'delivery', 'callback', 'import']) as k(kind)
      left join public.pauses p on p.kind = k.kind and p.ended_at is null
     cross join lateral (
        select min(f.run_at) as run_at
          from generate_series(0, 3) as n(priority)
         cross join lateral (
            select q.run_at from public.queue q
             where q.kind = k.kind and q.priority = n.priority and not q.dead_letter and q.run_at <= now()
               and q.worker_id is null
             order by q.run_at limit 1) f) o
$$;

-- Returns the workers: host, seconds since the last heartbeat, length of the lease, and missing settings.
create function public.worker_health() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object(
               'host', coalesce(w.host, w.worker_id::text), 'last_seen_seconds', extract(epoch from now() - w.seen_at),
               'lease_seconds', extract(epoch from w.lease), 'not_configured', coalesce(c.not_configured, '{}'))
               order by w.seen_at desc), '[]')
      from public.workers w left join public.worker_configuration c using (worker_id)
$$;

-- Returns the sources in the workers' settings (all recorded ones if a worker has not reported its settings), each with the time
-- since when it fails (null: it does not) and its error.
create function public.source_health() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object(
               'name', s.name,
               'failing_since', case when f.fails then coalesce(s.failing_since, s.failed_at) end,
               'error', case when f.fails then s.error end) order by s.name), '[]')
      from public.sources s
     cross join lateral (select coalesce(s.failed_at > coalesce(s.succeeded_at, '-infinity'), false) as fails) f
     where coalesce(s.name = any (public.services_in_use()), true)
$$;

-- Returns the deliveries' state: why they are paused, the number in doubt, ended attempts of the last 15 minutes, and an error of
-- those that wait (of the 200 that are due first).
create function public.delivery_health() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
               'paused', public.deliveries_paused(),
               'in_doubt', (select count(*) from public.deliveries where status = 'in_doubt'),
               'completed', coalesce(sum(s.completed), 0), 'failed', coalesce(sum(s.failed + s.retried), 0),
               'error', (
                   select d.error from (
                       select q.error, q.updated_at from public.queue q
                        where q.kind = 'delivery' and q.priority = 1 and not q.dead_letter
                        order by q.run_at limit 200) d
                    where d.error is not null order by d.updated_at desc limit 1))
      from public.task_stats s
     where s.kind = 'delivery' and s.minute > now() - interval '15 minutes' and s.minute <= now()
$$;

-- Returns the language model's calls and failures of the last 15 minutes, the reason of its circuit breaker if it is not closed,
-- and the items of the last hour that have an excerpt instead of its summary, by reason.
create function public.model_health() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
               'calls', coalesce(sum(s.model_calls), 0), 'failures', coalesce(sum(s.model_failures), 0),
               'blocked', (select coalesce(b.reason, 'its circuit breaker is open') from public.circuit_breakers b
                            where b.name = 'model' and b.state <> 'closed'),
               'fallbacks', (
                   select coalesce(jsonb_agg(to_jsonb(f) order by f.items desc, f.reason), '[]')
                     from (select e.key as reason, sum(e.value::bigint) as items
                             from public.task_stats m cross join lateral jsonb_each_text(m.model_fallbacks) e
                            where m.minute > now() - interval '1 hour' and m.minute <= now()
                            group by e.key) f))
      from public.task_stats s
     where s.minute > now() - interval '15 minutes' and s.minute <= now()
$$;

-- Returns the facts, all of the same moment. `overdue_readers`: readers whose digest was due 10 minutes ago and has no task;
-- `refused_libraries`: connected libraries whose key is refused; each 1,000 at most.
create function public.operator_health() returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
begin
    return jsonb_build_object(
        'at', now(), 'schema_version', public.schema_version(), 'kinds', public.kind_health(),
        'workers', public.worker_health(), 'sources', public.source_health(), 'deliveries', public.delivery_health(),
        'model', public.model_health(),
        'delivery_rate', (select rate from public.delivery_rate where computed_at > now() - interval '10 minutes'),
        'overdue_readers', (
            select count(*) from (
                select from public.readers
                 where least(next_due_at, overdue_at) <= public.schedule_now() - interval '10 minutes' limit 1000) r),
        'refused_libraries', (
            select count(*) from (
                select from public.reader_libraries where problem_kind = 'key_refused' limit 1000) l));
end
$$;

-- Permissions.
revoke execute on function
    public.kind_health, public.worker_health, public.source_health, public.delivery_health, public.model_health,
    public.operator_health
    from public, anon, authenticated;
grant execute on function
    public.kind_health, public.worker_health, public.source_health, public.delivery_health, public.model_health,
    public.operator_health
    to service_role;
