-- The worker's call: it reports outcomes and progress and claims more tasks, in one transaction.

-- Builds the response to a recorded call.
create function public.build_response(p_call public.worker_calls) returns json
language plpgsql stable security invoker set search_path = '' as $$
begin
    return json_build_object(
        'number', p_call.number, 'token', p_call.token, 'response', p_call.answer,
        'claimed', case when p_call.claimed = '{}' then '[]'::json
                        else public.describe_claimed(p_call.worker_id, p_call.token, p_call.claimed) end);
end
$$;

-- Applies everything that a worker reports: outcomes, then progress. Returns {outcomes} with the rejected ones, or {}.
create function public.apply_reports(
    p_worker uuid, p_completed jsonb, p_outcomes jsonb, p_progress jsonb, p_now timestamptz
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    response jsonb := '{}';
begin
    if p_completed <> '[]' then
        response := jsonb_build_object('outcomes', public.complete_tasks(p_worker, p_completed, p_now));
    end if;
    if p_outcomes <> '[]' then
        response := jsonb_build_object(
            'outcomes', coalesce(response -> 'outcomes', '[]') || public.apply_outcomes(p_worker, p_outcomes, p_now));
    end if;
    if p_progress <> '[]' then
        perform public.record_progress(p_worker, p_progress, p_now);
    end if;
    return response;
end
$$;

-- Claims tasks for a call, with the marks of the worker's previous call. Returns the call with `claimed`, `marks` and the time
-- of the last claim from the start.
create function public.claim_for_call(
    p_call public.worker_calls, p_kinds text[], p_limits integer[], p_slots integer, p_now timestamptz
) returns public.worker_calls
language plpgsql security invoker set search_path = '' as $$
declare
    claiming_since timestamptz := clock_timestamp();
    from_start boolean;
begin
    if cardinality(p_call.marks) is distinct from 4 * cardinality(p_kinds) then
        p_call.marks := array_fill('-infinity'::timestamptz, array[4 * cardinality(p_kinds)]);
    end if;
    p_call.claimed := '{}';
    if p_slots <= 0 then
        return p_call;
    end if;
    -- Claims from the start use at most a fiftieth of the time, and happen at least once a minute.
    from_start := coalesce(p_call.scanned_at < p_now - least(p_call.scan_duration * 50, interval '1 minute'), true);
    select c.claimed, c.p_marks into p_call.claimed, p_call.marks
      from public.claim_tasks(
          p_call.worker_id, p_call.token, p_kinds, p_limits, p_slots, from_start, p_now, p_call.marks) c;
    if from_start then
        p_call.scanned_at := p_now;
        p_call.scan_duration := clock_timestamp() - claiming_since;
    end if;
    return p_call;
end
$$;

-- A worker's call. Calls have numbers: a repeated call gets the recorded response, an older one {"outdated": true}.
create function public.sync_worker(
    p_worker uuid, p_number bigint, p_lease_seconds double precision, p_kinds text[], p_limits integer[], p_slots integer,
    p_completed jsonb, p_outcomes jsonb, p_progress jsonb, p_host text default null, p_version text default null
) returns json
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off set plan_cache_mode = force_generic_plan as $$
declare
    known public.worker_calls;
    previous bigint;
    term interval := make_interval(secs => p_lease_seconds);
    moment timestamptz;
    list_leases boolean;
    response jsonb;
begin
    -- One call of a worker at a time, also if its response was lost and it is repeated.
    perform pg_advisory_xact_lock(hashtextextended(p_worker::text, 0));
    select * into known from public.worker_calls where worker_id = p_worker order by number desc limit 1;
    if p_number < known.number then
        return json_build_object(
            'number', p_number, 'token', known.token, 'response', '{"outdated": true}'::json, 'claimed', '[]'::json);
    elsif p_number = known.number then
        return public.build_response(known);
    end if;
    previous := known.number;
    if p_completed <> '[]' or p_outcomes <> '[]' or p_progress <> '[]' then
        perform public.lock_queue_rows(p_completed, p_outcomes, p_progress);
    end if;
    -- Not now(): the time that this call waited for locks must not shorten leases.
    moment := clock_timestamp();
    response := public.apply_reports(p_worker, p_completed, p_outcomes, p_progress, moment);
    if not exists (select from public.workers where worker_id = p_worker and seen_at > moment - term / 10) then
        -- Not part of the condition below, which may skip it.
        list_leases := public.heartbeat(p_worker, term, moment, p_host, p_version);
        if list_leases and previous is not null then
            response := response || jsonb_build_object('leases', public.leases_of_worker(p_worker, false));
        end if;
    end if;
    perform public.wake_waiting_tasks();
    if exists (select from public.queue where cancel_requested) then
        response := response || jsonb_build_object('cancel', public.leases_of_worker(p_worker, true));
    end if;
    known.worker_id := p_worker;
    known.token := public.new_lease_token(moment);
    known := public.claim_for_call(known, p_kinds, p_limits, p_slots, moment);
    if p_slots > 0 and cardinality(known.claimed) < p_slots then
        response := response || jsonb_build_object('next_task_seconds', public.seconds_to_next_task(p_kinds, moment));
    end if;
    if previous is not null then
        delete from public.worker_calls where worker_id = p_worker and number = previous;
    end if;
    insert into public.worker_calls (worker_id, number, answer, claimed, token, marks, scanned_at, scan_duration)
    values (p_worker, p_number, response, known.claimed, known.token, known.marks, coalesce(known.scanned_at, '-infinity'),
            coalesce(known.scan_duration, interval '0'))
    returning * into known;
    return public.build_response(known);
end
$$;

-- Permissions.
revoke execute on function
    public.build_response, public.apply_reports, public.claim_for_call, public.sync_worker
    from public, anon, authenticated;
grant execute on function
    public.build_response, public.apply_reports, public.claim_for_call, public.sync_worker
    to service_role;
