-- The worker's one sentence: what became of its tasks, which leases to renew, and more work, in a single transaction.
-- plpgsql rather than SQL functions: it keeps their plans over the calls of a session.

-- How long a task may go on being snoozed before it fails: what it waits for will not come.
create function public.snooze_limit() returns interval
language sql immutable security invoker set search_path = '' as $$ select interval '2 hours' $$;

-- Applies outcomes to rows that the caller has locked. An outcome counts where the task is running under its token.
create function public.apply_outcomes(p_outcomes jsonb, p_now timestamptz) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    answer jsonb;
begin
    with given as (
        select * from jsonb_to_recordset(p_outcomes) as o(
            task_id uuid, lease_token uuid, outcome text, result jsonb, error text, delay_seconds double precision,
            permanent boolean)
    ),
    judged as (
        select g.*, t.status as status_before, t.cancel_requested,
               t.status = 'running' and t.lease_token = g.lease_token as valid,
               case
                   when g.outcome = 'completed' then 'completed'
                   when g.outcome = 'cancelled' then 'cancelled'
                   when g.outcome = 'failed' and (g.permanent or t.attempt >= t.max_attempts) then 'failed'
                   when g.outcome = 'snoozed' and t.snoozed_since < p_now - public.snooze_limit() then 'failed'
                   when t.cancel_requested then 'cancelled'
                   else 'pending'
               end as next,
               -- The token stays on the row, so an outcome that comes again is known as its own.
               t.lease_token = g.lease_token as own
          from given g left join public.tasks t using (task_id)
    ),
    applied as (
        update public.tasks t
           set status = j.next,
               result = case when j.next = 'completed' then j.result end,
               error = case
                   when j.next = 'completed' then null
                   when j.outcome = 'snoozed' and j.next = 'failed'
                       then 'waited longer than ' || public.snooze_limit() || ': ' || coalesce(j.error, '')
                   else coalesce(j.error, t.error)
               end,
               message = case when j.outcome = 'snoozed' then j.error when j.next = 'pending' then null else t.message end,
               progress = case j.next when 'completed' then 1 when 'pending' then 0 else t.progress end,
               -- Neither waiting nor a shutdown is the task's fault.
               attempt = t.attempt - (j.outcome in ('snoozed', 'released') and j.next = 'pending')::integer,
               snoozed_since = case when j.outcome = 'snoozed' then coalesce(t.snoozed_since, p_now) end,
               run_at = case
                   when j.next = 'pending' and j.outcome in ('failed', 'snoozed')
                       then p_now + make_interval(secs => coalesce(j.delay_seconds, 0))
                   else t.run_at
               end,
               lease_expires_at = null,
               finished_at = case when j.next <> 'pending' then p_now end,
               updated_at = p_now
          from judged j
         where t.task_id = j.task_id and j.valid
    )
    select coalesce(jsonb_agg(jsonb_build_object(
               'task_id', j.task_id,
               'verdict', case when j.valid then 'applied' when j.own then 'applied_already' else 'lost' end,
               'status', case when j.valid then j.next else j.status_before end)), '[]')
      into answer
      from judged j;
    return answer;
end
$$;

-- Renews leases of rows that the caller has locked; answers the tasks that are no longer this worker's.
create function public.renew_leases(p_renewals jsonb, p_until timestamptz) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    answer jsonb;
begin
    with given as (
        select * from jsonb_to_recordset(p_renewals) as r(task_id uuid, lease_token uuid)
    ),
    renewed as (
        update public.tasks t set lease_expires_at = p_until, extended_token = null
          from given g
         where t.task_id = g.task_id and t.status = 'running' and t.lease_token = g.lease_token
        returning t.task_id
    )
    select coalesce(jsonb_agg(g.task_id), '[]') into answer
      from given g
     where g.task_id not in (select task_id from renewed);
    return answer;
end
$$;

-- Leases that ran out: back to the queue with the attempt burnt, or the end. One that ran out before p_outage_end, while
-- no worker was seen, is extended instead, for its holder could not renew it either; but once: it may be dead all the same.
-- At most 500 a call; the next ones find the rest.
create function public.expire_leases(p_now timestamptz, p_lease interval, p_outage_end timestamptz) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    with expired as (
        select task_id,
               lease_expires_at < p_outage_end and extended_token is distinct from lease_token as forgiven
          from public.tasks
         where status = 'running' and lease_expires_at < p_now
         order by lease_expires_at
         limit 500
           for update skip locked
    )
    update public.tasks t
       set lease_expires_at = case when e.forgiven then p_now + p_lease end,
           extended_token = case when e.forgiven then t.lease_token end,
           status = case
               when e.forgiven then 'running'
               when t.cancel_requested then 'cancelled'
               when t.attempt >= t.max_attempts then 'failed'
               else 'pending'
           end,
           error = case when e.forgiven then t.error else 'worker lost: its lease ran out' end,
           -- A late outcome of the lost worker must not pass for one that was applied.
           lease_token = case when e.forgiven then t.lease_token end,
           run_at = case when e.forgiven then t.run_at else p_now end,
           finished_at = case
               when not e.forgiven and (t.cancel_requested or t.attempt >= t.max_attempts) then p_now
           end,
           updated_at = p_now
      from expired e
     where t.task_id = e.task_id;
end
$$;

-- Claims up to p_slots tasks: by priority, then run_at, then id; one index probe for each kind and priority.
create function public.claim_tasks(
    p_worker uuid, p_kinds text[], p_slots integer, p_now timestamptz, p_until timestamptz
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    claimed uuid[] := '{}';
    found uuid[];
    answer jsonb;
begin
    for wanted_priority in 0..3 loop
        exit when cardinality(claimed) >= p_slots;
        select array_agg(c.task_id order by c.run_at, c.task_id) into found
          from unnest(p_kinds) as k(kind)
         cross join lateral (
            select t.task_id, t.run_at
              from public.tasks t
             where t.status = 'pending' and t.kind = k.kind and t.priority = wanted_priority and t.run_at <= p_now
             order by t.run_at, t.task_id
             limit p_slots - cardinality(claimed)
               for update skip locked) c;
        claimed := claimed || found[1:p_slots - cardinality(claimed)];
    end loop;
    if cardinality(claimed) = 0 then
        return '[]';
    end if;
    with running as (
        update public.tasks t
           set status = 'running', attempt = t.attempt + 1, worker_id = p_worker, lease_token = gen_random_uuid(),
               lease_expires_at = p_until, started_at = coalesce(t.started_at, p_now), updated_at = p_now
         where t.task_id = any (claimed)
        returning t.task_id, t.kind, t.payload, t.source_date, t.attempt, t.max_attempts, t.lease_token, t.priority,
                  t.run_at
    )
    select jsonb_agg(to_jsonb(r) - 'priority' - 'run_at' order by r.priority, r.run_at, r.task_id) into answer
      from running r;
    return answer;
end
$$;

-- Seconds until the next task of these kinds becomes ready; null if none waits.
create function public.seconds_to_next_task(p_kinds text[], p_now timestamptz) returns double precision
language plpgsql stable security invoker set search_path = '' as $$
begin
    return (
        select case when count(*) > 0 then greatest(0, extract(epoch from min(n.run_at) - p_now)) end
          from unnest(p_kinds) as k(kind)
         cross join generate_series(0, 3) as p(priority)
         cross join lateral (
            select t.run_at from public.tasks t
             where t.status = 'pending' and t.kind = k.kind and t.priority = p.priority
             order by t.run_at, t.task_id
             limit 1) n);
end
$$;

-- See docs/ARCHITECTURE.md, "The worker speaks one sentence".
create function public.sync_worker(
    p_worker uuid, p_number bigint, p_kinds text[], p_slots integer, p_lease_seconds double precision,
    p_outcomes jsonb, p_renewals jsonb
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    known public.workers;
    last_seen timestamptz;
    outage timestamptz;
    lease interval := make_interval(secs => p_lease_seconds);
    -- Not now(): the wait for the locks below must not eat into the leases.
    moment timestamptz;
    reply jsonb;
begin
    select * into known from public.workers where worker_id = p_worker for update;
    if not found then
        -- Seen for the first time: not a sign of life while an outage lasted.
        insert into public.workers (worker_id, seen_at) values (p_worker, '-infinity') on conflict do nothing;
        select * into known from public.workers where worker_id = p_worker for update;
    end if;
    if p_number = known.call_number then
        return known.answer;
    elsif p_number < known.call_number then
        return jsonb_build_object(
            'number', p_number, 'outdated', true, 'outcomes', '[]'::jsonb, 'lost', '[]'::jsonb, 'cancel', '[]'::jsonb,
            'claimed', '[]'::jsonb, 'next_task_seconds', null);
    end if;

    -- One order for everybody's locks: no two calls wait for each other.
    perform 1 from public.tasks
      where task_id in (
          select (e ->> 'task_id')::uuid from jsonb_array_elements(p_outcomes || p_renewals) as e)
      order by task_id
        for update;
    moment := clock_timestamp();
    select max(seen_at), max(outage_end) into last_seen, outage from public.workers;
    if last_seen > '-infinity' and last_seen < moment - lease then
        outage := moment;
    end if;

    reply := jsonb_build_object(
        'number', p_number,
        'outcomes', case when p_outcomes = '[]' then '[]' else public.apply_outcomes(p_outcomes, moment) end,
        'lost', case when p_renewals = '[]' then '[]' else public.renew_leases(p_renewals, moment + lease) end);
    perform public.expire_leases(moment, lease, outage);
    reply := reply || jsonb_build_object(
        'cancel', (
            select coalesce(jsonb_agg(task_id), '[]') from public.tasks
             where worker_id = p_worker and status = 'running' and cancel_requested),
        'claimed', case
            when p_slots > 0 then public.claim_tasks(p_worker, p_kinds, p_slots, moment, moment + lease) else '[]'
        end);
    reply := reply || jsonb_build_object(
        'next_task_seconds', case
            when p_slots > jsonb_array_length(reply -> 'claimed') then public.seconds_to_next_task(p_kinds, moment)
        end);
    update public.workers
       set call_number = p_number, answer = reply, seen_at = moment, outage_end = outage
     where worker_id = p_worker;
    return reply;
end
$$;

revoke execute on function
    public.snooze_limit, public.apply_outcomes, public.renew_leases, public.expire_leases, public.claim_tasks,
    public.seconds_to_next_task, public.sync_worker
    from public, anon, authenticated;
grant execute on function
    public.snooze_limit, public.apply_outcomes, public.renew_leases, public.expire_leases, public.claim_tasks,
    public.seconds_to_next_task, public.sync_worker
    to service_role;
