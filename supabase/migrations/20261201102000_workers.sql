-- Workers: their heartbeats, the leases that depend on them, and what each reports about itself.

-- A worker's lease covers all of its tasks: the tasks are its own while its heartbeat is younger than `lease`. So no task's
-- lease is renewed separately, and one row for each worker records the grace after an outage.
create table public.workers (
    worker_id   uuid        primary key,
    seen_at     timestamptz not null,                   -- the last heartbeat
    lease       interval    not null,
    grace_until timestamptz,                            -- after an outage, its tasks are reclaimed only after this time
    reported_at timestamptz not null,                   -- when it last received the list of its leases
    lost_at     timestamptz,                            -- when tasks were last reclaimed from it: operators see it for 15 minutes
    host        text,
    version     text
);

-- The last call of each worker. A row is inserted and deleted, never updated, so that a long snapshot elsewhere leaves no chain
-- of dead versions behind one key.
create table public.worker_calls (
    worker_id   uuid          not null,
    number      bigint        not null,
    answer      jsonb         not null,
    claimed     uuid[]        not null,                 -- the tasks that the call claimed, under one lease token
    token       uuid          not null,
    marks       timestamptz[] not null,                 -- where the next claim starts, by kind and priority
    scanned_at   timestamptz   not null,                 -- the last claim that started from the beginning,
    scan_duration   interval      not null,                 -- and its duration
    responded_at timestamptz   not null default now(),
    primary key (worker_id, number)
) with (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

-- The settings that each worker lacks, so that operators see why mails or callbacks wait; and the services that it calls, so
-- that those no longer in any worker's settings are forgotten.
create table public.worker_configuration (
    worker_id      uuid        primary key,
    not_configured jsonb       not null,                -- {setting: what does not work without it}
    services       jsonb       not null,                -- names of its sources and, if it has one, `model`; []: not reported
    reported_at    timestamptz not null default now()
);

alter table public.workers enable row level security;
alter table public.worker_calls enable row level security;
alter table public.worker_configuration enable row level security;

-- Reclaims up to p_batch tasks of a worker whose lease has expired: back to the queue with the attempt used, or to their end.
-- Returns the number of tasks.
create function public.reclaim_expired(p_worker uuid, p_batch integer, p_now timestamptz) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    reclaimed integer;
begin
    with expired as (
        select task_id, lease_token, attempt, started_at, message, progress,
               case when cancel_requested then 'cancelled' when attempt >= max_attempts then 'failed' else 'pending' end as next
          from public.queue
         where worker_id = p_worker
         limit p_batch
           for update skip locked
    ),
    cancelled_rows as (
        delete from public.queue q using expired h where q.task_id = h.task_id and h.next = 'cancelled'
    ),
    updated_rows as (
        update public.queue q
           set worker_id = null, dead_letter = h.next = 'failed', run_at = p_now, snoozed_since = null,
               -- So that a late outcome of the lost worker is not taken for an applied one.
               lease_token = null,
               error = 'worker lost: its lease expired', message = null, progress = 0, updated_at = p_now
          from expired h
         where q.task_id = h.task_id and h.next <> 'cancelled'
    ),
    ended as (
        update public.tasks t
           set status = h.next, attempt = h.attempt, started_at = h.started_at, finished_at = p_now,
               message = h.message, progress = h.progress, error = 'worker lost: its lease expired'
          from expired h
         where t.task_id = h.task_id and h.next <> 'pending'
    ),
    attempts as (
        insert into public.task_attempts (task_id, lease_token, worker_id, host, attempt, outcome, ended_at, error)
        select h.task_id, h.lease_token, p_worker, (select w.host from public.workers w where w.worker_id = p_worker), h.attempt,
               'lost', p_now, 'worker lost: its lease expired'
          from expired h where h.lease_token is not null
        on conflict do nothing
    )
    select count(*) into reclaimed from expired;
    return reclaimed;
end
$$;

-- Records this worker's heartbeat and reclaims tasks of workers whose lease has expired. If no worker was seen for a lease (an
-- outage), each other worker has one more lease to return, once. A worker that ended without releasing its tasks stays listed for
-- 15 minutes, so that operators see it; one without tasks is removed. Returns true if this worker needs the list of its leases:
-- either it was silent so long that some may have been reclaimed, or it has not received the list for a lease (a task whose
-- response it could not read would otherwise stay claimed).
create function public.heartbeat(p_worker uuid, p_lease interval, p_now timestamptz, p_host text, p_version text)
returns boolean
language plpgsql security invoker set search_path = '' as $$
declare
    last_seen timestamptz := (select max(seen_at) from public.workers);
    previous public.workers;
    expired_worker uuid;
    needs_leases boolean;
begin
    select * into previous from public.workers where worker_id = p_worker;
    needs_leases := previous.worker_id is null or least(previous.seen_at, previous.reported_at) < p_now - p_lease;
    insert into public.workers (worker_id, seen_at, lease, reported_at, host, version)
    values (p_worker, p_now, p_lease, p_now, p_host, p_version)
    on conflict (worker_id) do update
       set seen_at = p_now, lease = p_lease, grace_until = null, host = p_host, version = p_version,
           reported_at = case when needs_leases then p_now else previous.reported_at end, lost_at = null;
    if last_seen < p_now - p_lease then
        -- Locked rows are skipped: their workers are sending a heartbeat now.
        with unseen as (
            select worker_id from public.workers
             where worker_id <> p_worker and seen_at < p_now - lease and grace_until is null
               for update skip locked)
        update public.workers w set grace_until = p_now + w.lease from unseen where w.worker_id = unseen.worker_id;
    end if;
    for expired_worker in
        select worker_id from public.workers
         where seen_at < p_now - lease and coalesce(grace_until < p_now, true)
           -- Until none was found for a lease, and once more before its row is removed.
           and not coalesce(p_now between lost_at + lease and lost_at + interval '15 minutes', false)
         order by worker_id
           for update skip locked
    loop
        if public.reclaim_expired(expired_worker, 1000, p_now) > 0 then
            update public.workers set lost_at = p_now where worker_id = expired_worker;
        else
            delete from public.workers
             where worker_id = expired_worker and coalesce(lost_at < p_now - interval '15 minutes', true);
        end if;
    end loop;
    return needs_leases;
end
$$;

-- Records the settings that a worker lacks and the services that it calls, and removes reports of workers that have been gone
-- for a day (1,000 a call).
create function public.report_configuration(p_worker uuid, p_not_configured jsonb, p_services jsonb default '[]') returns void
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.worker_configuration as c (worker_id, not_configured, services)
    values (p_worker, p_not_configured, p_services)
        on conflict (worker_id) do update
        set not_configured = excluded.not_configured, services = excluded.services, reported_at = excluded.reported_at
        where (c.not_configured, c.services) is distinct from (excluded.not_configured, excluded.services);
    with gone as materialized (
        select c.worker_id from public.worker_configuration c
         where c.reported_at < now() - interval '1 day'
           and not exists (select from public.workers w where w.worker_id = c.worker_id)
         order by c.worker_id limit 1000 for update of c skip locked)
    delete from public.worker_configuration c using gone where c.worker_id = gone.worker_id;
end
$$;

-- Returns the names of the services that the workers call; null if a worker has not reported its services yet.
create function public.services_in_use() returns text[]
language sql stable security invoker set search_path = '' as $$
    select case when bool_and(jsonb_array_length(c.services) > 0) and count(*) = count(c.worker_id)
                then array(select distinct jsonb_array_elements_text(d.services)
                             from public.worker_configuration d join public.workers v using (worker_id)
                            where v.lost_at is null) end
      from public.workers w left join public.worker_configuration c using (worker_id) where w.lost_at is null
$$;

-- Lists the workers that have a row: [{worker_id, host, version, seen_at, last_seen_seconds, alive, running_tasks,
-- not_configured}]. p_running has the number of running tasks by worker_id: {worker_id: tasks}.
create function public.worker_list(p_running jsonb) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object(
               'worker_id', w.worker_id, 'host', w.host, 'version', w.version, 'seen_at', w.seen_at,
               'last_seen_seconds', extract(epoch from now() - w.seen_at),
               'alive', w.seen_at >= now() - w.lease,
               'running_tasks', coalesce((p_running ->> w.worker_id::text)::bigint, 0),
               'not_configured', coalesce(c.not_configured, '{}')) order by w.seen_at desc, w.worker_id), '[]')
      from public.workers w left join public.worker_configuration c using (worker_id)
$$;

-- Lists the workers with their running tasks: public.worker_list.
create function public.list_worker_rows() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select public.worker_list((
        select jsonb_object_agg(q.worker_id, q.tasks)
          from (select worker_id, count(*) as tasks from public.queue where worker_id is not null group by 1) q))
$$;

-- Permissions.
revoke all on public.workers, public.worker_calls, public.worker_configuration from public, anon, authenticated;
grant select, insert, update, delete on public.workers, public.worker_calls, public.worker_configuration to service_role;
revoke execute on function
    public.reclaim_expired, public.heartbeat, public.report_configuration, public.services_in_use,
    public.worker_list, public.list_worker_rows
    from public, anon, authenticated;
grant execute on function
    public.reclaim_expired, public.heartbeat, public.report_configuration, public.services_in_use,
    public.worker_list, public.list_worker_rows
    to service_role;
