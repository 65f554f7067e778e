-- What each worker lacks in its settings, so that operators see why mails or callbacks wait.

create or replace function public.schema_version() returns integer
language sql immutable security invoker set search_path = '' as $$ select 7 $$;

create table public.worker_configuration (
    worker_id      uuid primary key,
    -- The settings that it lacks, each with what does not work without it: {"MAIL_URL": "..."}.
    not_configured jsonb not null,
    reported_at    timestamptz not null default now()
);

alter table public.worker_configuration enable row level security;

-- Records what a worker lacks. Reports of workers that are gone are removed a day later, some of them a call.
create function public.report_configuration(p_worker uuid, p_not_configured jsonb) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.worker_configuration as c (worker_id, not_configured) values (p_worker, p_not_configured)
        on conflict (worker_id) do update set not_configured = excluded.not_configured, reported_at = excluded.reported_at
        where c.not_configured is distinct from excluded.not_configured;
    with gone as materialized (
        select c.worker_id from public.worker_configuration c
         where c.reported_at < now() - interval '1 day'
           and not exists (select from public.workers w where w.worker_id = c.worker_id)
         order by c.worker_id limit 1000 for update of c skip locked)
    delete from public.worker_configuration c using gone where c.worker_id = gone.worker_id;
end
$$;

-- The workers that were seen within their lease or still hold something: [{worker_id, host, version, seen_at,
-- seconds_ago, in_hand, not_configured}].
create or replace function public.fleet() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object(
               'worker_id', w.worker_id, 'host', w.host, 'version', w.version, 'seen_at', w.seen_at,
               'seconds_ago', extract(epoch from now() - w.seen_at), 'in_hand', coalesce(h.tasks, 0),
               'not_configured', coalesce(c.not_configured, '{}')) order by w.seen_at desc), '[]')
      from public.workers w
      left join public.worker_configuration c using (worker_id)
      left join (select worker_id, count(*) as tasks from public.queue where worker_id is not null group by 1) h
        using (worker_id)
$$;

-- The whole picture, in one statement: one moment of the database.
create or replace function public.operator_overview(p_hours integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    with open as materialized (select * from public.queue_by_kind_and_worker()),
    kinds as (
        select kind, coalesce(sum(ready), 0) as ready, coalesce(sum(later), 0) as later,
               coalesce(sum(running), 0) as running, coalesce(sum(dead), 0) as failed, max(oldest) as oldest_seconds
          from unnest(array['fetch', 'digest', 'delivery', 'callback']) as k(kind) full join open using (kind)
         group by kind)
    select jsonb_build_object(
        'at', now(),
        'kinds', (select jsonb_agg(to_jsonb(k) || jsonb_build_object('pause', to_jsonb(p)) order by k.kind)
                    from kinds k left join public.pauses p on p.kind = k.kind and p.ended is null),
        'minutes', public.minute_series(p_hours),
        'workers', (
            select coalesce(jsonb_agg(jsonb_build_object(
                       'worker_id', w.worker_id, 'host', w.host, 'version', w.version, 'seen_at', w.seen_at,
                       'seconds_ago', extract(epoch from now() - w.seen_at), 'in_hand', coalesce(h.tasks, 0),
                       'not_configured', coalesce(c.not_configured, '{}')) order by w.seen_at desc), '[]')
              from public.workers w
              left join public.worker_configuration c using (worker_id)
              left join (select worker_id, sum(running) as tasks from open group by 1) h using (worker_id)),
        'breakers', public.breaker_states(),
        'sources', public.source_states(),
        'failed', public.last_failed(20),
        'deliveries', public.delivery_overview(20),
        'readers', (select coalesce(jsonb_agg(to_jsonb(r) order by r.owner, r.status), '[]')
                      from (select owner, status, count(*) as readers from public.readers group by 1, 2) r),
        'model_today', public.model_today())
$$;

revoke all on public.worker_configuration from public, anon, authenticated;
grant select, insert, update, delete on public.worker_configuration to service_role;
revoke execute on function public.report_configuration from public, anon, authenticated;
grant execute on function public.report_configuration to service_role;
