-- Actions of operators: replay, redeliver, cancel, pause; and their audit.

-- One row for each action, written in its transaction. A repeated action is found by its id and returns the same response.
create table public.audit (
    audit_id   uuid        primary key,
    created_at timestamptz not null,
    actor      text        not null,
    action     text        not null,
    details    jsonb       not null,
    response   jsonb       not null
);

create index audit_newest on public.audit (created_at desc, audit_id desc);

-- Pauses of a kind of task. Ended ones are kept: time limits exclude them (public.paused_for).
create table public.pauses (
    pause_id   uuid        primary key,
    kind       text        not null check (kind in ('fetch', 'digest', 'delivery', 'callback', 'import')),
    started_at timestamptz not null,
    ended_at   timestamptz,
    actor      text        not null,
    reason     text        not null
);

create unique index pauses_now on public.pauses (kind) where ended_at is null;

alter table public.audit enable row level security;
alter table public.pauses enable row level security;

-- Returns the response of an action that was already applied, else null. A repetition waits here until the first call commits.
create function public.find_audit_entry(p_audit_id uuid) returns jsonb
language plpgsql security invoker set search_path = '' as $$
begin
    perform pg_advisory_xact_lock(hashtextextended(p_audit_id::text, 1));
    return (select response from public.audit where audit_id = p_audit_id);
end
$$;

create function public.record_audit_entry(
    p_audit_id uuid, p_actor text, p_action text, p_details jsonb, p_response jsonb
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.audit (audit_id, created_at, actor, action, details, response)
    values (p_audit_id, clock_timestamp(), p_actor, p_action, p_details, p_response);
    return p_response;
end
$$;

-- Returns how long at least one of the kinds was paused between two times.
create function public.paused_for(p_kinds text[], p_from timestamptz, p_to timestamptz) returns interval
language plpgsql stable security invoker set search_path = '' as $$
begin
    return (
        select coalesce(sum(upper(r) - lower(r)), interval '0')
          from (select range_agg(tstzrange(started_at, coalesce(ended_at, 'infinity')) * tstzrange(p_from, p_to)) as ranges
                  from public.pauses
                 where kind = any (p_kinds) and started_at < p_to and coalesce(ended_at > p_from, true)) p
         cross join lateral unnest(p.ranges) as r);
end
$$;

-- Keeps the readers of these tasks from being removed, before other rows are locked: public.remove_reader() would not find the new
-- rows of the queue.
create function public.keep_readers_of_tasks(p_task_ids uuid[]) returns void
language plpgsql security invoker set search_path = ''
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    perform 1 from public.readers
      where reader_id in (select t.reader_id from public.tasks t where t.task_id = any (p_task_ids))
      order by owner, external_id for key share;
end
$$;

-- Reopens ended tasks: ready now, with new attempts and a new callback at the end. Returns the number of tasks; tasks that are
-- open stay as they are.
create function public.reopen_tasks(p_task_ids uuid[]) returns integer
language plpgsql security invoker set search_path = ''
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_indexscan = off
    set enable_indexonlyscan = off set enable_bitmapscan = on set jit = off as $$
declare
    opened integer;
begin
    perform public.keep_readers_of_tasks(p_task_ids);
    -- Queue before tasks, by id, as everywhere. The lock of the task stops retention if the queue has no row of it.
    perform 1 from public.queue where task_id = any (p_task_ids) order by task_id for update;
    perform 1 from public.tasks where task_id = any (p_task_ids) order by task_id for update;
    with ready as (
        insert into public.queue as q (task_id, kind, priority, run_at, max_attempts)
        select task_id, kind, priority, now(), max_attempts
          from public.tasks where task_id = any (p_task_ids) and status is not null
        on conflict (task_id) do update
           set dead_letter = false, run_at = now(), attempt = 0, worker_id = null, started_at = null, cancel_requested = false,
               -- So that an earlier outcome is not taken for an applied one.
               lease_token = null,
               waits_for = null, snoozed_since = null, progress = 0, message = null, updated_at = now()
         where q.dead_letter
        returning q.task_id
    )
    update public.tasks t
       set status = null, result = null, error = null, message = null, progress = null, attempt = null,
           started_at = null, finished_at = null, ended_by = null, replays = t.replays + 1, replayed_at = now()
      from ready where t.task_id = ready.task_id;
    get diagnostics opened = row_count;
    return opened;
end
$$;

-- Replays a permanently failed task. Returns {task, done: false} if it is no dead letter; null if there is no such task.
create function public.replay_task(p_audit_id uuid, p_actor text, p_task_id uuid) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    recorded jsonb := public.find_audit_entry(p_audit_id);
    reopened boolean := false;
begin
    if recorded is not null then
        return recorded;
    end if;
    perform public.keep_readers_of_tasks(array[p_task_id]);
    perform 1 from public.queue where task_id = p_task_id and dead_letter for update;
    if found then
        reopened := public.reopen_tasks(array[p_task_id]) > 0;
    end if;
    recorded := public.task_view(p_task_id) || jsonb_build_object('done', reopened);
    if reopened then
        return public.record_audit_entry(p_audit_id, p_actor, 'replay', jsonb_build_object('task_id', p_task_id), recorded);
    end if;
    return recorded;
end
$$;

-- Replays dead letters of a kind and, unless it is null, a cause, that failed from p_since until before p_until (null: now), a
-- step at a time: the next p_step after the id p_after. Returns {replayed, until, next}: `next` is the p_after of the next step
-- (null: there is none), and `until` its p_until, so that a task that fails again meanwhile is not replayed twice.
create function public.replay_dead_letters(
    p_audit_id uuid, p_actor text, p_kind text, p_cause text, p_since timestamptz, p_until timestamptz, p_after uuid,
    p_step integer
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    recorded jsonb := public.find_audit_entry(p_audit_id);
    until_time timestamptz := least(p_until, clock_timestamp());
    scanned uuid[];
    selected uuid[];
    reopened integer;
begin
    if recorded is not null then
        return recorded;
    end if;
    select array_agg(d.task_id order by d.task_id),
           -- A dead letter was last updated when it failed.
           array_agg(d.task_id) filter (where d.updated_at >= coalesce(p_since, '-infinity') and d.updated_at < until_time)
      into scanned, selected
      from (select task_id, updated_at from public.queue
             where kind = p_kind and dead_letter and task_id > coalesce(p_after, '00000000-0000-0000-0000-000000000000'::uuid)
               and (p_cause is null or cause = p_cause)
             order by task_id limit p_step) d;
    reopened := public.reopen_tasks(coalesce(selected, '{}'));
    return public.record_audit_entry(
        p_audit_id, p_actor, 'replay all',
        jsonb_build_object('kind', p_kind, 'cause', p_cause, 'since', p_since, 'until', until_time, 'after', p_after,
                           'replayed', reopened),
        jsonb_build_object('replayed', reopened, 'until', until_time,
                           'next', case when cardinality(scanned) = p_step then scanned[p_step] end));
end
$$;

-- Discards up to p_step dead letters of a kind and cause that failed before p_until (null: now): their tasks stay failed, and are
-- no longer listed or replayed. Returns {discarded, until}; fewer than p_step means that none is left.
create function public.discard_dead_letters(
    p_audit_id uuid, p_actor text, p_kind text, p_cause text, p_until timestamptz, p_step integer
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    recorded jsonb := public.find_audit_entry(p_audit_id);
    until_time timestamptz := least(p_until, clock_timestamp());
    gone integer;
begin
    if recorded is not null then
        return recorded;
    end if;
    with selected as materialized (
        select task_id from public.queue
         where kind = p_kind and cause = p_cause and dead_letter and updated_at < until_time
         order by task_id limit p_step for update)
    delete from public.queue q using selected s where q.task_id = s.task_id and q.dead_letter;
    get diagnostics gone = row_count;
    return public.record_audit_entry(
        p_audit_id, p_actor, 'discard',
        jsonb_build_object('kind', p_kind, 'cause', p_cause, 'until', until_time, 'discarded', gone),
        jsonb_build_object('discarded', gone, 'until', until_time));
end
$$;

-- Returns the p_limit groups of dead letters that have one kind and cause, the group with the newest failure first: [{kind,
-- cause, tasks, first_at, last_at, example, hours: [{at, tasks}]}], with the error of one task as `example`, and the failures of
-- the last 24 hours by hour.
create function public.failure_groups(p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    with hours as (
        select kind, cause, date_bin('1 hour', updated_at, '2000-01-01T00:00:00Z') as hour, count(*) as tasks,
               min(updated_at) as first_at, max(updated_at) as last_at
          from public.queue where dead_letter group by 1, 2, 3),
    groups as (
        select kind, cause, sum(tasks) as tasks, min(first_at) as first_at, max(last_at) as last_at,
               coalesce(jsonb_agg(jsonb_build_object('at', hour, 'tasks', tasks) order by hour)
                        filter (where hour > now() - interval '24 hours'), '[]') as hours
          from hours group by kind, cause order by max(last_at) desc, kind, cause limit p_limit)
    select coalesce(jsonb_agg(to_jsonb(g) || jsonb_build_object('example', e.error)
                              order by g.last_at desc, g.kind, g.cause), '[]')
      from groups g
     cross join lateral (
        select q.error from public.queue q
         where q.kind = g.kind and q.cause = g.cause and q.dead_letter limit 1) e
$$;

-- Delivers a callback again under the same id, however it ended; at once if it waits for its next attempt. Returns {task, done}:
-- false if it is being delivered now; null if there is no such callback.
create function public.redeliver(p_audit_id uuid, p_actor text, p_task_id uuid) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    recorded jsonb := public.find_audit_entry(p_audit_id);
    done boolean;
begin
    if recorded is not null then
        return recorded;
    end if;
    perform 1 from public.tasks where task_id = p_task_id and kind = 'callback';
    if not found then
        return null;
    end if;
    done := public.reopen_tasks(array[p_task_id]) > 0;
    if not done then
        update public.queue set run_at = now() where task_id = p_task_id and not dead_letter and worker_id is null;
        done := found;
    end if;
    recorded := public.task_view(p_task_id) || jsonb_build_object('done', done);
    if done then
        return public.record_audit_entry(p_audit_id, p_actor, 'redeliver', jsonb_build_object('task_id', p_task_id), recorded);
    end if;
    return recorded;
end
$$;

-- Cancels a task of any owner. Returns null if there is none.
create function public.cancel_for_operator(p_audit_id uuid, p_actor text, p_task_id uuid) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    recorded jsonb := coalesce(public.find_audit_entry(p_audit_id), public.cancel_task(p_task_id, null));
begin
    if recorded is null or exists (select from public.audit where audit_id = p_audit_id) then
        return recorded;
    end if;
    return public.record_audit_entry(p_audit_id, p_actor, 'cancel', jsonb_build_object('task_id', p_task_id), recorded);
end
$$;

-- Stops all workers from claiming a kind until it is resumed; running tasks continue. Returns {pause}: the current one, which is
-- an earlier one if there is one.
create function public.pause_kind(p_audit_id uuid, p_actor text, p_kind text, p_reason text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    recorded jsonb := public.find_audit_entry(p_audit_id);
    created boolean;
begin
    if recorded is not null then
        return recorded;
    end if;
    insert into public.pauses (pause_id, kind, started_at, actor, reason)
    values (p_audit_id, p_kind, clock_timestamp(), p_actor, p_reason)
    on conflict do nothing;
    created := found;
    recorded := (select jsonb_build_object('pause', to_jsonb(p)) from public.pauses p where kind = p_kind and ended_at is null);
    if created then
        return public.record_audit_entry(
            p_audit_id, p_actor, 'pause', jsonb_build_object('kind', p_kind, 'reason', p_reason), recorded);
    end if;
    return recorded;
end
$$;

-- Ends the pause of a kind. Returns {pause}; null inside if there was none.
create function public.resume_kind(p_audit_id uuid, p_actor text, p_kind text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    recorded jsonb := public.find_audit_entry(p_audit_id);
    ended_pause public.pauses;
begin
    if recorded is not null then
        return recorded;
    end if;
    update public.pauses set ended_at = clock_timestamp() where kind = p_kind and ended_at is null returning * into ended_pause;
    if ended_pause.pause_id is null then
        return '{"pause": null}';
    end if;
    return public.record_audit_entry(p_audit_id, p_actor, 'resume', jsonb_build_object('kind', p_kind),
                             jsonb_build_object('pause', to_jsonb(ended_pause)));
end
$$;

-- public.resolve_delivery(), recorded in the audit if it changes anything.
create function public.resolve_for_operator(p_audit_id uuid, p_actor text, p_delivery_id uuid, p_status text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    recorded jsonb := public.find_audit_entry(p_audit_id);
    before text;
begin
    if recorded is not null then
        return recorded;
    end if;
    perform public.keep_reader_of_delivery(p_delivery_id);
    select status into before from public.deliveries where delivery_id = p_delivery_id for update;
    recorded := public.resolve_delivery(p_delivery_id, p_status, p_actor);
    if not coalesce((recorded ->> 'resolved')::boolean, false) or before = p_status then
        return recorded;
    end if;
    return public.record_audit_entry(
        p_audit_id, p_actor, 'resolve', jsonb_build_object('delivery_id', p_delivery_id, 'from', before, 'to', p_status),
        recorded);
end
$$;

-- public.set_delivery_pause(), recorded in the audit if it changes anything.
create function public.set_pause_for_operator(p_audit_id uuid, p_actor text, p_reason text) returns void
language plpgsql security invoker set search_path = '' as $$
declare
    before text;
begin
    if public.find_audit_entry(p_audit_id) is not null then
        return;
    end if;
    before := public.deliveries_paused();
    perform public.set_delivery_pause(p_reason);
    if before is distinct from p_reason then
        perform public.record_audit_entry(
            p_audit_id, p_actor, case when p_reason is null then 'resume deliveries' else 'pause deliveries' end,
            jsonb_build_object('reason', p_reason, 'before', before), '{}');
    end if;
end
$$;

-- public.skip_pending_deliveries(), whose calls with one p_audit_id are one entry of the audit, if any delivery is pending.
create function public.skip_deliveries_for_operator(p_audit_id uuid, p_actor text, p_limit integer) returns boolean
language plpgsql security invoker set search_path = '' as $$
begin
    if public.find_audit_entry(p_audit_id) is null and exists (select from public.deliveries where status = 'pending') then
        perform public.record_audit_entry(p_audit_id, p_actor, 'skip deliveries', '{}', '{}');
    end if;
    return public.skip_pending_deliveries(p_actor, p_limit);
end
$$;

-- Permissions.
revoke all on public.audit, public.pauses from public, anon, authenticated;
grant select, insert, update, delete on public.audit, public.pauses to service_role;
revoke execute on function
    public.find_audit_entry, public.record_audit_entry, public.paused_for, public.keep_readers_of_tasks,
    public.reopen_tasks, public.replay_task, public.replay_dead_letters, public.discard_dead_letters, public.failure_groups,
    public.redeliver,
    public.cancel_for_operator, public.pause_kind, public.resume_kind,
    public.resolve_for_operator, public.set_pause_for_operator, public.skip_deliveries_for_operator
    from public, anon, authenticated;
grant execute on function
    public.find_audit_entry, public.record_audit_entry, public.paused_for, public.keep_readers_of_tasks,
    public.reopen_tasks, public.replay_task, public.replay_dead_letters, public.discard_dead_letters, public.failure_groups,
    public.redeliver,
    public.cancel_for_operator, public.pause_kind, public.resume_kind,
    public.resolve_for_operator, public.set_pause_for_operator, public.skip_deliveries_for_operator
    to service_role;
