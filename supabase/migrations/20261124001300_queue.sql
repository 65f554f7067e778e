-- The queue beside an old snapshot, and a worker's call by plans that are made once.
--
-- A generic plan cannot use `p_from_start or run_at >= mark` as a bound of the index: each claim then walked through every
-- row that was gone. And with rows that are gone in `calls`, a bitmap of all of them was taken for cheaper than the last one.

create or replace function public.schema_version() returns integer
language sql immutable security invoker set search_path = '' as $$ select 5 $$;

-- Claims up to p_slots tasks, of each kind that is not paused no more than its limit: by priority, then run_at, then id; one index probe for
-- each kind and priority. Each probe begins at its mark, where the one before found the first that was ready: what lies
-- before it is in hand or gone, and gone rows stay in the index for as long as any snapshot is open. Now and then
-- (p_from_start) it looks from the start, for what was committed late or came back.
create or replace function public.claim_tasks(
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
                 where q.kind = p_kinds[n] and q.priority = wanted_priority and not q.dead and q.worker_id is null
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

-- See docs/ARCHITECTURE.md, "The worker speaks one sentence". Every table is entered by an index and every plan is made once:
-- to plan the probes of a claim anew takes longer than to make them.
create or replace function public.sync_worker(
    p_worker uuid, p_number bigint, p_lease_seconds double precision, p_kinds text[], p_limits integer[], p_slots integer,
    p_completed jsonb, p_outcomes jsonb, p_progress jsonb, p_host text default null, p_version text default null
) returns json
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off set plan_cache_mode = force_generic_plan as $$
declare
    known public.calls;
    term interval := make_interval(secs => p_lease_seconds);
    moment timestamptz;
    claiming_since timestamptz;
    tell boolean;
    from_start boolean;
    said jsonb := '{}';
    claimed uuid[] := '{}';
    token uuid := gen_random_uuid();
begin
    -- One call of a worker at a time, also where its answer was lost and it comes again.
    perform pg_advisory_xact_lock(hashtextextended(p_worker::text, 0));
    select * into known from public.calls where worker_id = p_worker order by number desc limit 1;
    if p_number < known.number then
        return json_build_object('number', p_number, 'token', known.token, 'said', '{"outdated": true}'::json, 'claimed', '[]'::json);
    elsif p_number = known.number then
        return public.worded_answer(known);
    end if;
    -- Not now(): the wait for the lock must not eat into the leases.
    moment := clock_timestamp();
    if p_completed <> '[]' then
        said := jsonb_build_object('outcomes', public.complete_tasks(p_worker, p_completed, moment));
    end if;
    if p_outcomes <> '[]' then
        said := jsonb_build_object(
            'outcomes', coalesce(said -> 'outcomes', '[]') || public.apply_outcomes(p_worker, p_outcomes, moment));
    end if;
    if p_progress <> '[]' then
        perform public.note_progress(p_worker, p_progress, moment);
    end if;
    if not exists (select from public.workers where worker_id = p_worker and seen_at > moment - term / 10) then
        -- By itself: in a condition with others, it is left out where one of them is known to be false.
        tell := public.show_life(p_worker, term, moment, p_host, p_version);
        if tell and known.number is not null then
            said := said || jsonb_build_object('held', public.leases_of(p_worker, false));
        end if;
    end if;
    perform public.wake_waiting();
    if exists (select from public.queue where cancel_requested) then
        said := said || jsonb_build_object('cancel', public.leases_of(p_worker, true));
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
            said := said || jsonb_build_object('next_task_seconds', public.seconds_to_next_task(p_kinds, moment));
        end if;
        if from_start then
            known.looked_at := moment;
            known.look_took := clock_timestamp() - claiming_since;
        end if;
    end if;
    if known.number is not null then
        delete from public.calls where worker_id = p_worker and number = known.number;
    end if;
    insert into public.calls (worker_id, number, answer, claimed, token, marks, looked_at, look_took)
    values (p_worker, p_number, said, claimed, token, known.marks, coalesce(known.looked_at, '-infinity'),
            coalesce(known.look_took, interval '0'))
    returning * into known;
    return public.worded_answer(known);
end
$$;

