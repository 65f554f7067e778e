-- Statistics: one row for each minute (of the database's clock) and kind, kept for a week. Workers report once a minute what they
-- have ended; the first report of a minute counts the queue. A minute without a row had no worker. Claims write nothing here.

create table public.task_stats (
    minute         timestamptz      not null,
    kind           text             not null,
    -- Attempts that ended: completed; failed permanently; failed, with another attempt to come.
    completed      integer          not null default 0,
    failed         integer          not null default 0,
    retried        integer          not null default 0,
    -- Waits of a sample of ended tasks, in seconds: from creation or replay to the first attempt.
    waits          integer          not null default 0, -- size of the sample
    wait_sum       double precision not null default 0,
    wait_max       double precision not null default 0,
    -- The queue at the first report of the minute.
    ready          integer          not null default 0,
    running        integer          not null default 0,
    oldest         double precision not null default 0, -- seconds for which the oldest task has been ready
    -- Use of the language model.
    model_calls    integer          not null default 0,
    model_failures integer          not null default 0,
    input_tokens   bigint           not null default 0,
    output_tokens  bigint           not null default 0,
    model_fallbacks jsonb           not null default '{}', -- items with an excerpt instead of a summary, by reason
    primary key (minute, kind)
);

-- The number of each worker's last report, by which repetitions are recognized.
create table public.task_stat_reports (
    worker_id   uuid        primary key,
    number      bigint      not null,
    reported_at timestamptz not null
);

alter table public.task_stats enable row level security;
alter table public.task_stat_reports enable row level security;

-- Counts the queue by kind and worker: ready, not ready, running and dead-letter tasks, and the seconds for which the oldest has
-- been ready. Dead letters are counted in their index: reading many of them would read their errors.
create function public.queue_by_kind_and_worker()
returns table (
    kind text, worker_id uuid, ready bigint, not_ready bigint, running bigint, dead_letter bigint, oldest double precision
)
language sql stable security invoker set search_path = '' as $$
    select q.kind, q.worker_id, count(*) filter (where q.worker_id is null and q.run_at <= now()),
           count(*) filter (where q.worker_id is null and q.run_at > now()), count(q.worker_id), 0,
           extract(epoch from now() - min(q.run_at) filter (where q.worker_id is null and q.run_at <= now()))
      from public.queue q where not q.dead_letter group by q.kind, q.worker_id
    union all
    select q.kind, null, 0, 0, 0, count(*), null from public.queue q where q.dead_letter group by q.kind
$$;

-- Adds two objects of counts by key.
create function public.sum_counts(p_first jsonb, p_second jsonb) returns jsonb
language sql immutable security invoker set search_path = '' as $$
    select coalesce(jsonb_object_agg(s.key, s.total), '{}')
      from (select e.key, sum(e.value::bigint) as total
              from (select * from jsonb_each_text(p_first) union all select * from jsonb_each_text(p_second)) e
             group by e.key) s
$$;

-- Adds a worker's report: [{kind, completed, failed, retried, sample: [task_id], model_calls, model_failures, input_tokens,
-- output_tokens, model_fallbacks: {reason: items}}]. A report whose number is not greater than the last one changes nothing.
-- Returns how many seconds of the minute have passed, from which the worker computes the start of the next one.
create function public.report_task_stats(p_worker uuid, p_number bigint, p_counts jsonb) returns double precision
language plpgsql security invoker set search_path = '' as $$
declare
    moment timestamptz;
    current_minute timestamptz;
    is_new boolean;
begin
    -- Also the lock: a repetition of the report waits here until the first one commits.
    insert into public.task_stat_reports as r (worker_id, number, reported_at) values (p_worker, p_number, clock_timestamp())
    on conflict (worker_id) do update set number = p_number, reported_at = clock_timestamp() where r.number < p_number;
    is_new := found;
    moment := clock_timestamp();
    current_minute := date_trunc('minute', moment, 'UTC');
    if not is_new then
        return extract(epoch from moment - current_minute);
    end if;
    if not exists (select from public.task_stats where minute = current_minute) then
        insert into public.task_stats (minute, kind, ready, running, oldest)
        select current_minute, kind, coalesce(sum(q.ready), 0), coalesce(sum(q.running), 0), coalesce(max(q.oldest), 0)
          from (select c.kind from jsonb_to_recordset(p_counts) as c(kind text)) c
          full join public.queue_by_kind_and_worker() q using (kind)
         group by kind order by kind
        on conflict do nothing;
    end if;
    insert into public.task_stats as m (
        minute, kind, completed, failed, retried, waits, wait_sum, wait_max, model_calls, model_failures, input_tokens,
        output_tokens, model_fallbacks)
    select current_minute, c.kind, c.completed, c.failed, c.retried, w.waits, w.wait_sum, w.wait_max, c.model_calls,
           c.model_failures, c.input_tokens, c.output_tokens, coalesce(c.model_fallbacks, '{}')
      from jsonb_to_recordset(p_counts) as c(
               kind text, completed integer, failed integer, retried integer, sample uuid[], model_calls integer,
               model_failures integer, input_tokens bigint, output_tokens bigint, model_fallbacks jsonb)
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
           output_tokens = m.output_tokens + excluded.output_tokens,
           model_fallbacks = public.sum_counts(m.model_fallbacks, excluded.model_fallbacks);
    perform public.prune_task_stats();
    perform public.prune_breakers();
    return extract(epoch from moment - current_minute);
end
$$;

-- Removes rows older than a week, 1,000 a call, and skips rows that another transaction has locked.
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

-- Returns the last p_hours in at most 120 steps: {since, step_seconds, kinds: [{kind, points: [...]}]}. Counts are sums; lengths
-- are the maximum of the step. A step without a point had no worker.
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

-- Returns the use of the language model since midnight (UTC), as far as workers have reported it.
create function public.model_usage_today() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
               'calls', coalesce(sum(model_calls), 0), 'failures', coalesce(sum(model_failures), 0),
               'input_tokens', coalesce(sum(input_tokens), 0), 'output_tokens', coalesce(sum(output_tokens), 0),
               'fallbacks', (
                   select coalesce(jsonb_agg(to_jsonb(f) order by f.reason), '[]')
                     from (select e.key as reason, sum(e.value::bigint) as items
                             from public.task_stats s cross join lateral jsonb_each_text(s.model_fallbacks) e
                            where s.minute >= date_trunc('day', now(), 'UTC') and s.minute <= now()
                            group by e.key) f))
      from public.task_stats where minute >= date_trunc('day', now(), 'UTC') and minute <= now()
$$;

-- Returns the unfinished tasks: {"depth": [{kind, status, tasks, oldest_seconds}]}, with the seconds for which the oldest has been
-- ready.
create function public.queue_stats() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object('depth', coalesce(jsonb_agg(to_jsonb(d)), '[]'))
      from (select kind, case when worker_id is null then 'pending' else 'running' end as status, count(*) as tasks,
                   greatest(0, extract(epoch from now() - min(run_at))) as oldest_seconds
              from public.queue
             where not dead_letter
             group by 1, 2) d
$$;

-- Permissions.
revoke all on public.task_stats, public.task_stat_reports from public, anon, authenticated;
grant select, insert, update, delete on public.task_stats, public.task_stat_reports to service_role;
revoke execute on function
    public.queue_by_kind_and_worker, public.sum_counts, public.report_task_stats, public.prune_task_stats,
    public.task_stat_series, public.model_usage_today, public.queue_stats
    from public, anon, authenticated;
grant execute on function
    public.queue_by_kind_and_worker, public.sum_counts, public.report_task_stats, public.prune_task_stats,
    public.task_stat_series, public.model_usage_today, public.queue_stats
    to service_role;
