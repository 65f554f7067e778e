-- The worker's one sentence: what became of its tasks, how far the others are, and more work, in a single transaction.

-- A lease hangs on its worker: what a worker has claimed is its own for as long as it was seen within `lease`. So nothing
-- has to be renewed task by task, and an outage is forgiven by one row a worker.
create table public.workers (
    worker_id uuid primary key,
    seen_at   timestamptz not null,
    lease     interval not null,
    -- After an outage, until when it is left alone although nobody has seen it: once, until it is seen again.
    grace_until timestamptz,
    -- When it was last told what it has in hand.
    reported_at   timestamptz not null,
    -- Where it runs and what: for people.
    host      text,
    version   text
);

-- One row for each call that was answered, the newest only: inserted and deleted, never updated, so that a snapshot held
-- open elsewhere leaves no chain of dead_letter versions behind one key.
create table public.worker_calls (
    worker_id uuid not null,
    number    bigint not null,
    answer    jsonb not null,
    -- What the call claimed, all under one token: described anew if the call comes again.
    claimed   uuid[] not null,
    token     uuid not null,
    -- Where this worker's claims begin, by kind and priority (public.claim_tasks); when it last looked from the start, and
    -- how long that took.
    marks     timestamptz[] not null,
    looked_at timestamptz not null,
    look_took interval not null,
    answered_at timestamptz not null default now(),
    primary key (worker_id, number)
) with (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

alter table public.workers enable row level security;

alter table public.worker_calls enable row level security;

-- How long a task may wait is defined per kind: an outage of hours ends nothing.

-- How long a task may go on being snoozed before it fails. A fetch waits for sources that cannot be reached; a digest outlasts the
-- fetch that it waits for, so that it hears how that ended.
create function public.snooze_limit(p_kind text) returns interval
language sql immutable security invoker set search_path = '' as $$
    select case p_kind when 'fetch' then interval '24 hours' when 'digest' then interval '26 hours' else interval '2 hours' end
$$;

-- What became of outcomes that could not be applied: `applied_already` where the token ended the task or sent it back
-- before, else `lost`.
create function public.rejected_outcomes(p_outcomes jsonb) returns jsonb
language plpgsql stable security invoker set search_path = ''
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
begin
    return (
        select coalesce(jsonb_agg(jsonb_build_object(
                   'task_id', g.task_id, 'status', r.status,
                   'verdict', case when g.lease_token in (t.ended_by, q.lease_token) then 'applied_already' else 'lost' end)),
                   '[]')
          from jsonb_to_recordset(p_outcomes) as g(task_id uuid, lease_token uuid)
          left join public.tasks t on t.task_id = g.task_id
          left join public.queue q on q.task_id = g.task_id
          left join public.task_records r on r.task_id = g.task_id);
end
$$;

-- Ends tasks that are done: [{task_id, lease_token, result, digest: {digest, page}}]. That counts where the task is in this worker's hands under
-- the token; answers rejected_outcomes on the others. Only with the locks of public.lock_queue_rows(). Digests are inserted in the order of
-- their readers: each records what its reader was shown, and two calls may hold two digests of the same two readers.
create function public.complete_tasks(p_worker uuid, p_completed jsonb, p_now timestamptz) returns jsonb
language plpgsql security invoker
set search_path = ''
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
declare
    ended uuid[];
begin
    with gone as (
        delete from public.queue q
         using jsonb_to_recordset(p_completed) as g(task_id uuid, lease_token uuid, result jsonb, digest jsonb)
         where q.task_id = g.task_id and q.lease_token = g.lease_token and q.worker_id is not null
        returning q.task_id, q.lease_token, q.attempt, q.started_at, q.message, g.result, g.digest
    ),
    recorded as (
        update public.tasks t
           set status = 'completed', result = g.result, message = g.message, progress = 1, attempt = g.attempt,
               started_at = g.started_at, finished_at = p_now, ended_by = g.lease_token
          from gone g
         where t.task_id = g.task_id
        returning t.task_id, t.owner, t.source_date, t.reader_id, t.local_day, g.digest
    ),
    written as (
        insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest, page)
        select task_id, owner, source_date, reader_id, local_day, digest -> 'digest', digest ->> 'page'
          from recorded where digest is not null
         order by reader_id, local_day, task_id
        on conflict do nothing
    )
    select array_agg(task_id) into ended from recorded;
    if cardinality(ended) = jsonb_array_length(p_completed) then
        return '[]';
    end if;
    return public.rejected_outcomes((
        select jsonb_agg(e) from jsonb_array_elements(p_completed) e
         where ended is null or (e ->> 'task_id')::uuid <> all (ended)));
end
$$;

-- Applies every other outcome: [{task_id, lease_token, outcome, error, delay_seconds, permanent, waits_for}]. It counts
-- where the task is in this worker's hands under the token; answers rejected_outcomes on the others.
create function public.apply_outcomes(p_worker uuid, p_outcomes jsonb, p_now timestamptz) returns jsonb
language plpgsql security invoker
set search_path = ''
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
declare
    applied uuid[];
begin
    -- Locked first: a cancel request must come before the judgement or after it.
    perform 1 from public.queue
      where task_id in (select (e ->> 'task_id')::uuid from jsonb_array_elements(p_outcomes) e)
      order by task_id
        for update;
    with given as (
        select * from jsonb_to_recordset(p_outcomes) as g(
            task_id uuid, lease_token uuid, outcome text, error text, delay_seconds double precision, permanent boolean,
            waits_for uuid)
    ),
    judged as (
        select g.*, q.attempt, q.started_at, q.message as last_message, q.progress as last_progress, q.error as last_error,
               case
                   when g.outcome = 'cancelled' then 'cancelled'
                   when g.outcome = 'failed' and (g.permanent or q.attempt >= q.max_attempts) then 'failed'
                   -- A delivery has an end of its own: when the next one is due. The second look, which counts no pauses, is for
                   -- the few that the first one finds.
                   when g.outcome = 'snoozed' and q.kind <> 'delivery'
                        and q.snoozed_since < p_now - public.snooze_limit(q.kind)
                        and q.snoozed_since < p_now - public.snooze_limit(q.kind) - public.paused_for(
                            array[q.kind, (select w.kind from public.tasks w where w.task_id = coalesce(g.waits_for, q.waits_for))],
                            q.snoozed_since, p_now) then 'failed'
                   when q.cancel_requested then 'cancelled'
                   else 'pending'
               end as next,
               -- What has ended meanwhile is not waited for.
               g.outcome = 'snoozed' and exists (
                   select from public.tasks w where w.task_id = g.waits_for and w.status is not null) as come
          from given g join public.queue q using (task_id)
         where q.lease_token = g.lease_token and q.worker_id is not null
    ),
    gone as (
        delete from public.queue q using judged j where q.task_id = j.task_id and j.next = 'cancelled'
    ),
    kept as (
        update public.queue q
           set worker_id = null,
               dead_letter = j.next = 'failed',
               -- Neither waiting nor a shutdown is the task's fault.
               attempt = q.attempt - (j.outcome in ('snoozed', 'released') and j.next = 'pending')::integer,
               snoozed_since = case when j.outcome = 'snoozed' then coalesce(q.snoozed_since, p_now) end,
               waits_for = case when j.outcome = 'snoozed' and not j.come then j.waits_for end,
               run_at = case
                   when j.outcome in ('failed', 'snoozed') and not j.come
                       then p_now + make_interval(secs => coalesce(j.delay_seconds, 0))
                   else p_now
               end,
               error = coalesce(j.error, q.error),
               message = case when j.outcome = 'snoozed' then j.error end,
               progress = 0,
               updated_at = p_now
          from judged j
         where q.task_id = j.task_id and j.next <> 'cancelled'
    ),
    ended as (
        update public.tasks t
           set status = j.next, attempt = j.attempt, started_at = j.started_at, finished_at = p_now,
               ended_by = j.lease_token, message = j.last_message, progress = j.last_progress,
               error = case
                   when j.outcome = 'snoozed' and j.next = 'failed'
                       then 'waited longer than ' || public.snooze_limit(t.kind) || ': ' || coalesce(regexp_replace(j.error, ', will be retried in \d+ s', '', 'g'), '')
                   else coalesce(j.error, j.last_error)
               end
          from judged j
         where t.task_id = j.task_id and j.next <> 'pending'
    )
    select array_agg(task_id) into applied from judged;
    return public.rejected_outcomes((
        select coalesce(jsonb_agg(e), '[]') from jsonb_array_elements(p_outcomes) e
         where applied is null or (e ->> 'task_id')::uuid <> all (applied)));
end
$$;

-- Takes back what a dead_letter worker had in hand, a batch a call: to the queue with the attempt burnt, or to the end. Answers
-- how many rows it was.
create function public.reclaim_expired(p_worker uuid, p_batch integer, p_now timestamptz) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    taken integer;
begin
    with held as (
        select task_id, attempt, started_at, message, progress,
               case when cancel_requested then 'cancelled' when attempt >= max_attempts then 'failed' else 'pending' end as next
          from public.queue
         where worker_id = p_worker
         limit p_batch
           for update skip locked
    ),
    gone as (
        delete from public.queue q using held h where q.task_id = h.task_id and h.next = 'cancelled'
    ),
    kept as (
        update public.queue q
           set worker_id = null, dead_letter = h.next = 'failed', run_at = p_now, snoozed_since = null,
               -- A late outcome of the lost worker must not pass for one that was applied.
               lease_token = null,
               error = 'worker lost: its lease ran out', message = null, progress = 0, updated_at = p_now
          from held h
         where q.task_id = h.task_id and h.next <> 'cancelled'
    ),
    ended as (
        update public.tasks t
           set status = h.next, attempt = h.attempt, started_at = h.started_at, finished_at = p_now,
               message = h.message, progress = h.progress, error = 'worker lost: its lease ran out'
          from held h
         where t.task_id = h.task_id and h.next <> 'pending'
    )
    select count(*) into taken from held;
    return taken;
end
$$;

-- A worker's sign of life, and its look at the others: who was not seen for its lease loses what it had in hand. After an
-- outage, in which nobody was seen for a lease, everybody else is spared for one lease more, once: they could not be seen.
-- True: this worker is to be told what it has in hand, for it was away so long that some may have been taken from it, or it
-- was not told for a lease: what it knows nothing of (an answer may have been unreadable) would be held for ever.
create function public.heartbeat(p_worker uuid, p_lease interval, p_now timestamptz, p_host text, p_version text)
returns boolean
language plpgsql security invoker set search_path = '' as $$
declare
    last_seen timestamptz := (select max(seen_at) from public.workers);
    own public.workers;
    gone uuid;
    tell boolean;
begin
    select * into own from public.workers where worker_id = p_worker;
    tell := own.worker_id is null or least(own.seen_at, own.reported_at) < p_now - p_lease;
    insert into public.workers (worker_id, seen_at, lease, reported_at, host, version)
    values (p_worker, p_now, p_lease, p_now, p_host, p_version)
    on conflict (worker_id) do update
       set seen_at = p_now, lease = p_lease, grace_until = null, host = p_host, version = p_version,
           reported_at = case when tell then p_now else own.reported_at end;
    if last_seen < p_now - p_lease then
        -- Not waited for: who holds its own row is being seen.
        with unseen as (
            select worker_id from public.workers
             where worker_id <> p_worker and seen_at < p_now - lease and grace_until is null
               for update skip locked)
        update public.workers w set grace_until = p_now + w.lease from unseen where w.worker_id = unseen.worker_id;
    end if;
    for gone in
        select worker_id from public.workers
         where seen_at < p_now - lease and coalesce(grace_until < p_now, true)
         order by worker_id
           for update skip locked
    loop
        if public.reclaim_expired(gone, 1000, p_now) = 0 then
            delete from public.workers where worker_id = gone;
        end if;
    end loop;
    return tell;
end
$$;

-- Makes those ready that still wait for what has ended: who came to wait while it ended, and who was left by
-- public.wake_waiting_tasks_of().
create function public.wake_waiting_tasks() returns void
language plpgsql security invoker set search_path = '' as $$
declare
    awaited uuid := (select waits_for from public.queue where waits_for is not null order by waits_for limit 1);
begin
    -- One index probe for each task that is waited for, however many wait.
    while awaited is not null loop
        perform public.wake_waiting_tasks_of(awaited)
           from public.tasks where task_id = awaited and status is not null;
        awaited := (select waits_for from public.queue where waits_for > awaited order by waits_for limit 1);
    end loop;
end
$$;

-- Claims up to p_slots tasks, of each kind that is not paused no more than its limit: by priority, then run_at, then id; one index probe for
-- each kind and priority. Each probe begins at its mark, where the one before found the first that was ready: what lies
-- before it is in hand or gone, and gone rows stay in the index for as long as any snapshot is open. Now and then
-- (p_from_start) it looks from the start, for what was committed late or came back.
create function public.claim_tasks(
    p_worker uuid, p_token uuid, p_kinds text[], p_limits integer[], p_slots integer, p_from_start boolean,
    p_now timestamptz, inout p_marks timestamptz[], out claimed uuid[]
)
language plpgsql security invoker set search_path = '' as $$
declare
    -- A little earlier than now at most: what was created this moment may be committed in the next.
    newest_mark timestamptz := p_now - interval '100 milliseconds';
    paused text[] := array(select kind from public.pauses where ended is null);
    first_run_at timestamptz;
    spots tid[] := '{}';
    place integer := 0;
    batch record;
begin
    claimed := '{}';
    for wanted_priority in 0..3 loop
        for n in 1..cardinality(p_kinds) loop
            place := place + 1;
            continue when p_limits[n] <= 0 or cardinality(claimed) >= p_slots or p_kinds[n] = any (paused);
            first_run_at := case when p_from_start then '-infinity' else p_marks[place] end;
            select array_agg(c.spot) as spots, array_agg(c.task_id) as ids, min(c.run_at) as first_ready into batch
              from (
                select q.ctid as spot, q.run_at, q.task_id
                  from public.queue q
                 where q.kind = p_kinds[n] and q.priority = wanted_priority and not q.dead_letter and q.worker_id is null
                   and q.run_at between first_run_at and p_now
                 order by q.run_at, q.task_id
                 limit least(p_limits[n], p_slots - cardinality(claimed))
                   for update skip locked) c;
            p_marks[place] := least(batch.first_ready, greatest(p_marks[place], newest_mark));
            continue when batch.ids is null;
            spots := spots || batch.spots;
            claimed := claimed || batch.ids;
            p_limits[n] := p_limits[n] - cardinality(batch.ids);
        end loop;
    end loop;
    if claimed <> '{}' then
        update public.queue q
           set worker_id = p_worker, lease_token = p_token, attempt = q.attempt + 1,
               started_at = coalesce(q.started_at, p_now), updated_at = p_now
         where q.ctid = any (spots);
    end if;
end
$$;

-- What a worker is told of the tasks that a call claimed, those that it still holds: [id, kind, attempt, attempts at most,
-- seconds since it was first begun (pauses not counted), source_date, payload] each.
create function public.describe_claimed(p_worker uuid, p_token uuid, p_claimed uuid[]) returns json
language plpgsql stable security invoker set search_path = ''
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
begin
    return (
        select coalesce(json_agg(json_build_array(
                   t.task_id, t.kind, q.attempt, q.max_attempts,
                   case when q.started_at < q.updated_at then extract(epoch from
                       q.updated_at - q.started_at - public.paused_for(array[q.kind, (
                           select w.kind from public.tasks w where w.task_id = q.waits_for)], q.started_at, q.updated_at))
                        else 0 end,
                   t.source_date, t.payload) order by c.place), '[]')
          from unnest(p_claimed) with ordinality as c(task_id, place)
          join public.queue q using (task_id)
          join public.tasks t using (task_id)
         where q.lease_token = p_token and q.worker_id = p_worker);
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
            select q.run_at from public.queue q
             where q.kind = k.kind and q.priority = p.priority and not q.dead_letter and q.run_at > p_now
             order by q.run_at, q.task_id
             limit 1) n);
end
$$;

-- Shows how far running tasks are: [{task_id, lease_token, message, progress}]. What is no longer this worker's is passed
-- over.
create function public.record_progress(p_worker uuid, p_progress jsonb, p_now timestamptz) returns void
language plpgsql security invoker set search_path = ''
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
begin
    update public.queue q
       set message = g.message, progress = g.progress, updated_at = p_now
      from jsonb_to_recordset(p_progress) as g(task_id uuid, lease_token uuid, message text, progress real)
     where q.task_id = g.task_id and q.lease_token = g.lease_token and q.worker_id is not null;
end
$$;

-- A recorded call as its worker hears it.
create function public.build_response(p_call public.worker_calls) returns json
language plpgsql stable security invoker set search_path = '' as $$
begin
    return json_build_object(
        'number', p_call.number, 'token', p_call.token, 'response', p_call.answer,
        'claimed', case when p_call.claimed = '{}' then '[]'::json
                        else public.describe_claimed(p_call.worker_id, p_call.token, p_call.claimed) end);
end
$$;

-- The tasks that a worker has in hand and that fulfil a condition, as [task_id, lease_token] each.
create function public.leases_of(p_worker uuid, p_cancelled_only boolean) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
begin
    if p_cancelled_only then
        return (select coalesce(jsonb_agg(jsonb_build_array(task_id, lease_token)), '[]')
                  from public.queue where cancel_requested and worker_id = p_worker);
    end if;
    return (select coalesce(jsonb_agg(jsonb_build_array(task_id, lease_token)), '[]')
              from public.queue where worker_id = p_worker);
end
$$;

-- As before, but all rows of the call are locked first, in one order.
create function public.sync_worker(
    p_worker uuid, p_number bigint, p_lease_seconds double precision, p_kinds text[], p_limits integer[], p_slots integer,
    p_completed jsonb, p_outcomes jsonb, p_progress jsonb, p_host text default null, p_version text default null
) returns json
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off set plan_cache_mode = force_generic_plan as $$
declare
    known public.worker_calls;
    term interval := make_interval(secs => p_lease_seconds);
    moment timestamptz;
    claiming_since timestamptz;
    tell boolean;
    from_start boolean;
    response jsonb := '{}';
    claimed uuid[] := '{}';
    token uuid := gen_random_uuid();
begin
    -- One call of a worker at a time, also where its answer was lost and it comes again.
    perform pg_advisory_xact_lock(hashtextextended(p_worker::text, 0));
    select * into known from public.worker_calls where worker_id = p_worker order by number desc limit 1;
    if p_number < known.number then
        return json_build_object('number', p_number, 'token', known.token, 'response', '{"outdated": true}'::json, 'claimed', '[]'::json);
    elsif p_number = known.number then
        return public.build_response(known);
    end if;
    if p_completed <> '[]' or p_outcomes <> '[]' or p_progress <> '[]' then
        perform public.lock_queue_rows(p_completed, p_outcomes, p_progress);
    end if;
    -- Not now(): the wait for locks must not eat into the leases.
    moment := clock_timestamp();
    if p_completed <> '[]' then
        response := jsonb_build_object('outcomes', public.complete_tasks(p_worker, p_completed, moment));
    end if;
    if p_outcomes <> '[]' then
        response := jsonb_build_object(
            'outcomes', coalesce(response -> 'outcomes', '[]') || public.apply_outcomes(p_worker, p_outcomes, moment));
    end if;
    if p_progress <> '[]' then
        perform public.record_progress(p_worker, p_progress, moment);
    end if;
    if not exists (select from public.workers where worker_id = p_worker and seen_at > moment - term / 10) then
        -- By itself: in a condition with others, it is left out where one of them is known to be false.
        tell := public.heartbeat(p_worker, term, moment, p_host, p_version);
        if tell and known.number is not null then
            response := response || jsonb_build_object('leases', public.leases_of(p_worker, false));
        end if;
    end if;
    perform public.wake_waiting_tasks();
    if exists (select from public.queue where cancel_requested) then
        response := response || jsonb_build_object('cancel', public.leases_of(p_worker, true));
    end if;
    if cardinality(known.marks) is distinct from 4 * cardinality(p_kinds) then
        known.marks := array_fill('-infinity'::timestamptz, array[4 * cardinality(p_kinds)]);
    end if;
    -- From the start whenever that is cheap: at most a fiftieth of the time goes into it, and it is done every minute.
    from_start := coalesce(known.looked_at < moment - least(known.look_took * 50, interval '1 minute'), true);
    if p_slots > 0 then
        claiming_since := clock_timestamp();
        select c.claimed, c.p_marks into claimed, known.marks
          from public.claim_tasks(p_worker, token, p_kinds, p_limits, p_slots, from_start, moment, known.marks) c;
        if cardinality(claimed) < p_slots then
            response := response || jsonb_build_object('next_task_seconds', public.seconds_to_next_task(p_kinds, moment));
        end if;
        if from_start then
            known.looked_at := moment;
            known.look_took := clock_timestamp() - claiming_since;
        end if;
    end if;
    if known.number is not null then
        delete from public.worker_calls where worker_id = p_worker and number = known.number;
    end if;
    insert into public.worker_calls (worker_id, number, answer, claimed, token, marks, looked_at, look_took)
    values (p_worker, p_number, response, claimed, token, known.marks, coalesce(known.looked_at, '-infinity'),
            coalesce(known.look_took, interval '0'))
    returning * into known;
    return public.build_response(known);
end
$$;

revoke all on public.workers, public.worker_calls from public, anon, authenticated;

grant select, insert, update, delete on public.workers, public.worker_calls to service_role;

revoke execute on function
    public.snooze_limit, public.rejected_outcomes, public.complete_tasks, public.apply_outcomes, public.reclaim_expired, public.heartbeat,
    public.wake_waiting_tasks, public.claim_tasks, public.describe_claimed, public.seconds_to_next_task, public.record_progress,
    public.build_response, public.leases_of, public.sync_worker
    from public, anon, authenticated;

grant execute on function
    public.snooze_limit, public.rejected_outcomes, public.complete_tasks, public.apply_outcomes, public.reclaim_expired, public.heartbeat,
    public.wake_waiting_tasks, public.claim_tasks, public.describe_claimed, public.seconds_to_next_task, public.record_progress,
    public.build_response, public.leases_of, public.sync_worker
    to service_role;
