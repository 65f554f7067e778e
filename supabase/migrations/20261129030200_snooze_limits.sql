-- How long a task may wait is defined per kind: an outage of hours ends nothing.

-- How long a task may go on being snoozed before it fails. A fetch waits for sources that cannot be reached; a digest outlasts the
-- fetch that it waits for, so that it hears how that ended.
create function public.snooze_limit(p_kind text) returns interval
language sql immutable security invoker set search_path = '' as $$
    select case p_kind when 'fetch' then interval '24 hours' when 'digest' then interval '26 hours' else interval '2 hours' end
$$;

-- Applies every other outcome: [{task_id, lease_token, outcome, error, delay_seconds, permanent, waits_for}]. It counts
-- where the task is in this worker's hands under the token; answers verdicts on the others.
create or replace function public.apply_outcomes(p_worker uuid, p_outcomes jsonb, p_now timestamptz) returns jsonb
language plpgsql security invoker
set search_path = '' set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on as $$
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
               dead = j.next = 'failed',
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
    return public.verdicts((
        select coalesce(jsonb_agg(e), '[]') from jsonb_array_elements(p_outcomes) e
         where applied is null or (e ->> 'task_id')::uuid <> all (applied)));
end
$$;

drop function public.snooze_limit();

revoke execute on function public.snooze_limit from public, anon, authenticated;
grant execute on function public.snooze_limit to service_role;
