-- One row a minute (of this database's clock) and kind, kept for a week. Workers tell once a minute what they have ended
-- since they last told; the first one to tell in a minute has the queue looked at. No row: no worker was there. The claim's
-- own calls write nothing here.
create table public.task_stats (
    minute        timestamptz not null,
    kind          text not null,
    -- Attempts that ended: done; failed for good; failed, with another one to come.
    completed     integer not null default 0,
    failed        integer not null default 0,
    retried       integer not null default 0,
    -- Of how many of those that ended the wait is known (workers name a sample), and these waits in seconds: from when a task
    -- was ordered, or replayed, until it was first begun.
    waits         integer not null default 0,
    wait_sum      double precision not null default 0,
    wait_max      double precision not null default 0,
    -- The queue at the minute's first report: ready, in hand, and for how many seconds the oldest has been ready.
    ready         integer not null default 0,
    running       integer not null default 0,
    oldest        double precision not null default 0,
    -- What the language model was asked, and what it cost.
    model_calls    integer not null default 0,
    model_failures integer not null default 0,
    input_tokens   bigint not null default 0,
    output_tokens  bigint not null default 0,
    primary key (minute, kind)
);

-- The number of each worker's last report: what comes again is known by it.
create table public.task_stat_reports (
    worker_id   uuid primary key,
    number      bigint not null,
    reported_at timestamptz not null
);

-- How it last went with each source; `items` and `source_date` are of the last success.
create table public.sources (
    name         text primary key,
    succeeded_at timestamptz,
    source_date  date,
    items        integer,
    failed_at    timestamptz,
    error        text
);

alter table public.task_stats enable row level security;

alter table public.task_stat_reports enable row level security;

alter table public.sources enable row level security;

-- The queue by kind: tasks that are ready, to be done later, in hand, and failed for good; and for how many seconds the
-- oldest has been ready. By worker besides, for public.operator_overview(). What is dead_letter is counted apart, in its index: many
-- of them would else be read with their errors.
create function public.queue_by_kind_and_worker()
returns table (kind text, worker_id uuid, ready bigint, later bigint, running bigint, dead_letter bigint, oldest double precision)
language sql stable security invoker set search_path = '' as $$
    select q.kind, q.worker_id, count(*) filter (where q.worker_id is null and q.run_at <= now()),
           count(*) filter (where q.worker_id is null and q.run_at > now()), count(q.worker_id), 0,
           extract(epoch from now() - min(q.run_at) filter (where q.worker_id is null and q.run_at <= now()))
      from public.queue q where not q.dead_letter group by q.kind, q.worker_id
    union all
    select q.kind, null, 0, 0, 0, count(*), null from public.queue q where q.dead_letter group by q.kind
$$;

-- What a worker has ended since its last report: [{kind, completed, failed, retried, sample: [task_id], model_calls,
-- model_failures, input_tokens, output_tokens}], a row for each of its kinds; of the sample the waits are looked up. Reports
-- have numbers: one that comes again, or is older than the last one, changes nothing. Answers how many seconds of the minute
-- have passed, by which the worker finds the next one.
create function public.report_task_stats(p_worker uuid, p_number bigint, p_counts jsonb) returns double precision
language plpgsql security invoker set search_path = '' as $$
declare
    moment timestamptz;
    this timestamptz;
    new boolean;
begin
    -- Also the lock: the same report once more waits here until the first is committed.
    insert into public.task_stat_reports as r (worker_id, number, reported_at) values (p_worker, p_number, clock_timestamp())
    on conflict (worker_id) do update set number = p_number, reported_at = clock_timestamp() where r.number < p_number;
    new := found;
    moment := clock_timestamp();
    this := date_trunc('minute', moment, 'UTC');
    if not new then
        return extract(epoch from moment - this);
    end if;
    if not exists (select from public.task_stats where minute = this) then
        insert into public.task_stats (minute, kind, ready, running, oldest)
        select this, kind, coalesce(sum(q.ready), 0), coalesce(sum(q.running), 0), coalesce(max(q.oldest), 0)
          from (select c.kind from jsonb_to_recordset(p_counts) as c(kind text)) c
          full join public.queue_by_kind_and_worker() q using (kind)
         group by kind order by kind
        on conflict do nothing;
    end if;
    insert into public.task_stats as m (
        minute, kind, completed, failed, retried, waits, wait_sum, wait_max, model_calls, model_failures, input_tokens,
        output_tokens)
    select this, c.kind, c.completed, c.failed, c.retried, w.waits, w.wait_sum, w.wait_max, c.model_calls,
           c.model_failures, c.input_tokens, c.output_tokens
      from jsonb_to_recordset(p_counts) as c(
               kind text, completed integer, failed integer, retried integer, sample uuid[], model_calls integer,
               model_failures integer, input_tokens bigint, output_tokens bigint)
     cross join lateral (
        select count(*) as waits, coalesce(sum(t.wait), 0) as wait_sum, coalesce(max(t.wait), 0) as wait_max
          from (select greatest(0, extract(epoch from started_at - greatest(created_at, replayed_at))) as wait
                  from public.tasks where task_id = any (c.sample) and started_at is not null) t) w
     order by c.kind
    on conflict (minute, kind) do update
       set completed = m.completed + excluded.completed, failed = m.failed + excluded.failed,
           retried = m.retried + excluded.retried, waits = m.waits + excluded.waits,
           wait_sum = m.wait_sum + excluded.wait_sum, wait_max = greatest(m.wait_max, excluded.wait_max),
           model_calls = m.model_calls + excluded.model_calls,
           model_failures = m.model_failures + excluded.model_failures,
           input_tokens = m.input_tokens + excluded.input_tokens,
           output_tokens = m.output_tokens + excluded.output_tokens;
    perform public.prune_task_stats();
    return extract(epoch from moment - this);
end
$$;

-- Removes what is older than a week, some of it a call, and waits for nobody who does the same.
create function public.prune_task_stats() returns void
language plpgsql security invoker set search_path = '' as $$
begin
    with old as materialized (
        select minute, kind from public.task_stats where minute < now() - interval '7 days'
         order by minute, kind limit 1000 for update skip locked)
    delete from public.task_stats m using old where m.minute = old.minute and m.kind = old.kind;
    -- A worker that was silent for a day repeats no report.
    with old as materialized (
        select worker_id from public.task_stat_reports where reported_at < now() - interval '1 day'
         order by worker_id limit 1000 for update skip locked)
    delete from public.task_stat_reports r using old where r.worker_id = old.worker_id;
end
$$;

-- How the reading of a day's sources went: [{name, items}] or [{name, error}]. Sources that nobody has read for 90 days are
-- forgotten.
create function public.record_sources(p_source_date date, p_sources jsonb) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.sources as s (name, succeeded_at, source_date, items, failed_at, error)
    select g.name, case when g.error is null then now() end, case when g.error is null then p_source_date end, g.items,
           case when g.error is not null then now() end, g.error
      from jsonb_to_recordset(p_sources) as g(name text, items integer, error text)
     order by g.name
    on conflict (name) do update
       set succeeded_at = coalesce(excluded.succeeded_at, s.succeeded_at),
           source_date = coalesce(excluded.source_date, s.source_date), items = coalesce(excluded.items, s.items),
           failed_at = coalesce(excluded.failed_at, s.failed_at), error = coalesce(excluded.error, s.error);
    with old as materialized (
        select name from public.sources
         where greatest(succeeded_at, failed_at) < now() - interval '90 days'
         order by name for update skip locked)
    delete from public.sources s using old where s.name = old.name;
end
$$;

-- The last p_hours of minutes in at most 120 steps: {since, step_seconds, kinds: [{kind, points: [...]}]}. What counts is
-- added up, what is a length is the greatest of the step. A step without a point: no worker was there.
create function public.task_stat_series(p_hours integer) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
    step interval := make_interval(mins => greatest(1, ceil(p_hours / 2.0)::integer));
    origin timestamptz := '2000-01-01T00:00:00Z';
    since timestamptz := date_bin(step, now(), origin) - 119 * step;
begin
    return jsonb_build_object(
        'since', since, 'step_seconds', extract(epoch from step),
        'kinds', (
            select coalesce(jsonb_agg(jsonb_build_object('kind', k.kind, 'points', k.points) order by k.kind), '[]')
              from (select p.kind, jsonb_agg(to_jsonb(p) - 'kind' order by p.at) as points
                      from (select kind, date_bin(step, minute, origin) as at, sum(completed) as completed,
                                   sum(failed) as failed, sum(retried) as retried,
                                   sum(wait_sum) / nullif(sum(waits), 0) as wait_mean_seconds,
                                   case when sum(waits) > 0 then max(wait_max) end as wait_max_seconds,
                                   max(ready) as ready, max(running) as running, max(oldest) as oldest_seconds
                              from public.task_stats
                             where minute >= since and minute <= now()
                             group by 1, 2) p
                     group by p.kind) k));
end
$$;

-- What the language model cost since midnight (UTC), as far as workers have reported it.
create function public.model_today() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
               'calls', coalesce(sum(model_calls), 0), 'failures', coalesce(sum(model_failures), 0),
               'input_tokens', coalesce(sum(input_tokens), 0), 'output_tokens', coalesce(sum(output_tokens), 0))
      from public.task_stats where minute >= date_trunc('day', now(), 'UTC') and minute <= now()
$$;

-- All sources that were read in the last 90 days or have something in the editions of the last seven days, and how many
-- items each gave for each of these.
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

-- The p_limit tasks that failed for good last.
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

-- The mails: whether they are stopped (`paused` says why), how many wait, are being sent, are in doubt, and the p_limit last
-- of these.
create function public.delivery_overview(p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
               'paused', public.deliveries_paused(),
               'pending', (select count(*) from public.deliveries where status = 'pending'),
               'sending', (select count(*) from public.deliveries where status = 'sending'),
               'in_doubt', (select count(*) from public.deliveries where status = 'in_doubt'),
               'latest_in_doubt', public.list_deliveries(null, 'in_doubt', null, null, null, p_limit))
$$;

-- The whole picture, in one statement: one moment of the database.
create function public.operator_overview(p_hours integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    with open as materialized (select * from public.queue_by_kind_and_worker()),
    kinds as (
        select kind, coalesce(sum(ready), 0) as ready, coalesce(sum(later), 0) as later,
               coalesce(sum(running), 0) as running, coalesce(sum(dead_letter), 0) as failed, max(oldest) as oldest_seconds
          from unnest(array['fetch', 'digest', 'delivery', 'callback']) as k(kind) full join open using (kind)
         group by kind)
    select jsonb_build_object(
        'at', now(),
        'kinds', (select jsonb_agg(to_jsonb(k) || jsonb_build_object('pause', to_jsonb(p)) order by k.kind)
                    from kinds k left join public.pauses p on p.kind = k.kind and p.ended is null),
        'minutes', public.task_stat_series(p_hours),
        'workers', (
            select coalesce(jsonb_agg(jsonb_build_object(
                       'worker_id', w.worker_id, 'host', w.host, 'version', w.version, 'seen_at', w.seen_at,
                       'last_seen_seconds', extract(epoch from now() - w.seen_at), 'running_tasks', coalesce(h.tasks, 0),
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

-- As public.resolve_delivery() and public.set_delivery_pause(), and recorded if it changes anything.
create function public.resolve_for_operator(p_act uuid, p_who text, p_delivery_id uuid, p_status text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    known jsonb := public.find_audit_entry(p_act);
    before text;
begin
    if known is not null then
        return known;
    end if;
    select status into before from public.deliveries where delivery_id = p_delivery_id for update;
    known := public.resolve_delivery(p_delivery_id, p_status, p_who);
    if not coalesce((known ->> 'resolved')::boolean, false) or before = p_status then
        return known;
    end if;
    return public.record_audit_entry(
        p_act, p_who, 'resolve', jsonb_build_object('delivery_id', p_delivery_id, 'from', before, 'to', p_status), known);
end
$$;

create function public.set_pause_for_operator(p_act uuid, p_who text, p_reason text, p_skip boolean) returns void
language plpgsql security invoker set search_path = '' as $$
declare
    before text;
    changes boolean;
begin
    if public.find_audit_entry(p_act) is not null then
        return;
    end if;
    before := public.deliveries_paused();
    changes := before is distinct from p_reason
               or p_skip and exists (select from public.deliveries where status = 'pending');
    perform public.set_delivery_pause(p_reason, p_skip, p_who);
    if changes then
        perform public.record_audit_entry(
            p_act, p_who, case when p_reason is null then 'resume deliveries' else 'pause deliveries' end,
            jsonb_build_object('reason', p_reason, 'skipped', p_skip, 'before', before), '{}');
    end if;
end
$$;

revoke all on public.task_stats, public.task_stat_reports, public.sources from public, anon, authenticated;

grant select, insert, update, delete on public.task_stats, public.task_stat_reports, public.sources to service_role;

revoke execute on function
    public.queue_by_kind_and_worker, public.report_task_stats, public.prune_task_stats, public.record_sources, public.task_stat_series,
    public.model_today, public.source_states, public.last_failed, public.delivery_overview, public.operator_overview,
    public.resolve_for_operator, public.set_pause_for_operator
    from public, anon, authenticated;

grant execute on function
    public.queue_by_kind_and_worker, public.report_task_stats, public.prune_task_stats, public.record_sources, public.task_stat_series,
    public.model_today, public.source_states, public.last_failed, public.delivery_overview, public.operator_overview,
    public.resolve_for_operator, public.set_pause_for_operator
    to service_role;
