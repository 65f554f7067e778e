-- Rows that several callers lock are locked in one order, whatever order they were given in.
--
--   readers (owner, external_id), then queue (task_id), tasks (task_id), deliveries (delivery_id), delivery_gate
--
-- Until now two imports of the same readers in another order ended in a deadlock, and so did calls of two workers with the same
-- tasks, in about three of 10,000 under leases of a second.

-- Locks the rows of a worker's call before anything is done with them: all of its lists at once, for the lists share one order.
create function public.lock_queue_rows(p_completed jsonb, p_outcomes jsonb, p_progress jsonb) returns void
language plpgsql security invoker
set search_path = '' set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
begin
    perform 1 from public.queue
      where task_id in (
        select g.task_id from jsonb_to_recordset(p_completed) as g(task_id uuid)
        union all select g.task_id from jsonb_to_recordset(p_outcomes) as g(task_id uuid)
        union all select g.task_id from jsonb_to_recordset(p_progress) as g(task_id uuid))
      order by task_id
        for update;
end
$$;

-- Ends tasks that are done: [{task_id, lease_token, result, digest: {digest, page}}]. That counts where the task is in this worker's hands under
-- the token; answers verdicts on the others. Only with the locks of public.lock_queue_rows(). Digests are inserted in the order of
-- their readers: each records what its reader was shown, and two calls may hold two digests of the same two readers.
create or replace function public.complete_tasks(p_worker uuid, p_completed jsonb, p_now timestamptz) returns jsonb
language plpgsql security invoker
set search_path = '' set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
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
    return public.verdicts((
        select jsonb_agg(e) from jsonb_array_elements(p_completed) e
         where ended is null or (e ->> 'task_id')::uuid <> all (ended)));
end
$$;

-- As before, but all rows of the call are locked first, in one order.
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
    if p_completed <> '[]' or p_outcomes <> '[]' or p_progress <> '[]' then
        perform public.lock_queue_rows(p_completed, p_outcomes, p_progress);
    end if;
    -- Not now(): the wait for locks must not eat into the leases.
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

-- As before, but readers are made and changed in the order of their external_id, and answered in the order given.
create or replace function public.put_readers(p_owner text, p_readers jsonb, p_change boolean) returns jsonb
language plpgsql security invoker set search_path = '' set enable_seqscan = off set plan_cache_mode = auto as $$
declare
    given record;
    answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_readers)]);
    turn integer;
begin
    -- A user has one reader, whoever's: two calls may name the same users in another order than that of their readers' names. There
    -- may be more users than locks, so calls that name any come one behind the other.
    if exists (select from jsonb_array_elements(p_readers) e where e ->> 'user_id' is not null) then
        perform pg_advisory_xact_lock(hashtextextended('readers of users', 0));
    end if;
    -- Of a table without statistics every index that begins with the owner looks as good as the one that has all of a reader's name.
    -- So while there are none each reader is planned for anew, by as many as there are now, which takes twice as long.
    if (select reltuples < 0 from pg_catalog.pg_class where oid = 'public.readers'::regclass) then
        perform set_config('plan_cache_mode', 'force_custom_plan', true);
    end if;
    for given in
        select l.reader, l.place::integer as place
          from jsonb_array_elements(p_readers) with ordinality as l(reader, place)
         -- The name that the row has: public.put_reader() looks for the id first. What is no id is refused there.
         order by coalesce(
                      (select r.external_id from public.readers r
                        where r.owner = p_owner and r.reader_id = case
                            when l.reader ->> 'reader_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                            then (l.reader ->> 'reader_id')::uuid end),
                      l.reader ->> 'external_id', l.reader ->> 'reader_id'),
                  l.place
    loop
        turn := 0;
        loop
            begin
                answers[given.place] := public.put_reader(p_owner, given.reader, p_change);
                exit;
            exception
                -- Only what is wrong with this one; everything else ends the call. Another call may have made it just now.
                when data_exception or integrity_constraint_violation then
                    if sqlstate <> '23505' or turn > 0 then
                        answers[given.place] := jsonb_build_object('reader_id', null, 'outcome', 'refused', 'reason', sqlerrm);
                        exit;
                    end if;
                    turn := 1;
            end;
        end loop;
    end loop;
    return to_jsonb(answers);
end
$$;

-- As before, but for the order of the locks.
create or replace function public.record_bounce(p_addresses text[], p_complaint boolean, p_reason text) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    stopped integer;
begin
    with there as materialized (
        select reader_id from public.readers
         where lower(address) in (select lower(each) from unnest(p_addresses) each)
           and (status in ('active', 'paused') or (p_complaint and status = 'bounced'))
         order by owner, external_id for update)
    update public.readers r
       set status = case when p_complaint then 'unsubscribed' else 'bounced' end, status_reason = left(p_reason, 2000)
      from there where r.reader_id = there.reader_id;
    get diagnostics stopped = row_count;
    return stopped;
end
$$;

-- As before, but for the order of the locks.
create or replace function public.note_looked_up(p_asked text[], p_found jsonb) returns void
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    locked uuid[] := array(
        select r.reader_id from public.readers r
         where r.reader_id in (
            select p.reader_id from public.reader_papers p
             where p.arxiv_id = any (p_asked) and p.arxiv_id is not null and p.abstract = '' and p.asked_at is null)
         order by r.owner, r.external_id for no key update);
    wanted record;
begin
    for wanted in
        select p.paper_id, p.reader_id, f.paper
          from public.reader_papers p
          left join jsonb_array_elements(p_found) as f(paper) on f.paper ->> 'arxiv_id' = p.arxiv_id
         where p.arxiv_id = any (p_asked) and p.arxiv_id is not null and p.abstract = '' and p.asked_at is null
           and p.reader_id = any (locked)
    loop
        update public.reader_papers set asked_at = now() where paper_id = wanted.paper_id;
        if wanted.paper is not null then
            perform public.put_reader_paper(wanted.reader_id, wanted.paper);
        end if;
    end loop;
end
$$;

-- As before, but deliveries are locked in the order of their ids, and what the reader was shown goes with the reader.
create or replace function public.remove_reader(p_reader_id uuid, p_owner text) returns boolean
language plpgsql security invoker set search_path = '' as $$
begin
    perform 1 from public.readers where reader_id = p_reader_id and (p_owner is null or owner = p_owner) for update;
    if not found then
        return false;
    end if;
    -- Nobody makes a digest for it any more. One that is being ended may yet make a delivery: hence once more.
    loop
        with open as materialized (
            select q.task_id from public.queue q
             where q.task_id in (select t.task_id from public.tasks t where t.reader_id = p_reader_id)
             order by q.task_id for update)
        delete from public.queue q using open where q.task_id = open.task_id;
        exit when not found;
    end loop;
    -- Their digests go with them.
    with gone as materialized (
        select task_id from public.tasks where reader_id = p_reader_id order by task_id for update)
    delete from public.tasks t using gone where t.task_id = gone.task_id;
    with gone as materialized (
        select delivery_id from public.deliveries where reader_id = p_reader_id order by delivery_id for update)
    delete from public.deliveries d using gone where d.delivery_id = gone.delivery_id;
    delete from public.shown where reader_id = p_reader_id;
    delete from public.shown_digests where reader_id = p_reader_id;
    delete from public.readers where reader_id = p_reader_id;
    return true;
end
$$;

-- As before, but for the order of the locks: whoever ends tasks holds their rows of the queue before their deliveries, and whoever
-- begins to send holds a delivery before the gate.
create or replace function public.set_delivery_gate(p_reason text, p_skip boolean, p_by text) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    if p_skip then
        perform 1 from public.queue
          where task_id in (select task_id from public.deliveries where state = 'pending')
          order by task_id for update;
        with waiting as materialized (
            select delivery_id from public.deliveries where state = 'pending' order by delivery_id for update)
        update public.deliveries d
           set state = 'skipped', reason = 'left out when deliveries were resumed', settled_by = p_by, ended_at = now()
          from waiting where d.delivery_id = waiting.delivery_id;
    end if;
    insert into public.delivery_gate (identity, written_by, reason)
    values (public.database_identity(), pg_current_xact_id()::xid::text, p_reason)
    on conflict (one) do update
       set identity = excluded.identity, written_by = excluded.written_by, reason = excluded.reason;
end
$$;

revoke execute on function public.lock_queue_rows from public, anon, authenticated;
grant execute on function public.lock_queue_rows to service_role;
