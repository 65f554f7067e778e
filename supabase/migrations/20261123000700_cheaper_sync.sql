-- The same sync for less.

-- A sync call touches rows that it names by id or finds by index. The planner sees a hundred of them wherever it cannot
-- know, and would rather read a table of 30,000 tasks from end to end, twice a call: 10 ms instead of 2. Told not to, it
-- prices the few small tables that it must read so high (before PostgreSQL 18) that it would compile every call.
alter function public.sync_worker(uuid, bigint, text[], integer, double precision, jsonb, jsonb) set enable_seqscan = off;
alter function public.sync_worker(uuid, bigint, text[], integer, double precision, jsonb, jsonb) set jit = off;

-- Most tasks have no key (callbacks never do): they need no entry for it with each change of their status.
alter table public.tasks drop constraint tasks_idempotency_key_key;
create unique index tasks_idempotency_key on public.tasks (idempotency_key) where idempotency_key is not null;

-- One token for all that a call claims: a random one a task took a fifth of the time. A task's token is still new with
-- every claim of it, which is all that an outcome is judged by.
create or replace function public.claim_tasks(
    p_worker uuid, p_kinds text[], p_slots integer, p_now timestamptz, p_until timestamptz
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    claimed uuid[] := '{}';
    found uuid[];
    token uuid := gen_random_uuid();
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
           set status = 'running', attempt = t.attempt + 1, worker_id = p_worker, lease_token = token,
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
