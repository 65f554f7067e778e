-- The operator's hand: replay, redeliver, pause, and the record of who did what.

-- Every act under an id of its own, written with its effect: an act that comes again is known, and answers as it did.
create table public.audit (
    act_id  uuid primary key,
    at      timestamptz not null,
    who     text not null,
    act     text not null,
    -- What it was about.
    details jsonb not null,
    answer  jsonb not null
);

create index audit_newest on public.audit (at desc);

-- When a kind was not claimed, by whom and why. What is over stays: patience is counted without it (public.paused_for).
create table public.pauses (
    pause_id uuid primary key,
    kind     text not null check (kind in ('fetch', 'digest', 'delivery', 'callback')),
    since    timestamptz not null,
    ended    timestamptz,
    who      text not null,
    reason      text not null
);

create unique index pauses_now on public.pauses (kind) where ended is null;

alter table public.audit enable row level security;

alter table public.pauses enable row level security;

-- What an act answered if it was done before, else null. Whoever sends the same act meanwhile waits here.
create function public.find_audit_entry(p_act uuid) returns jsonb
language plpgsql security invoker set search_path = '' as $$
begin
    perform pg_advisory_xact_lock(hashtextextended(p_act::text, 1));
    return (select answer from public.audit where act_id = p_act);
end
$$;

create function public.record_audit_entry(p_act uuid, p_who text, p_name text, p_details jsonb, p_answer jsonb) returns jsonb
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.audit (act_id, at, who, act, details, answer)
    values (p_act, clock_timestamp(), p_who, p_name, p_details, p_answer);
    return p_answer;
end
$$;

-- How long at least one of the kinds was paused between two moments.
create function public.paused_for(p_kinds text[], p_from timestamptz, p_to timestamptz) returns interval
language plpgsql stable security invoker set search_path = '' as $$
begin
    return (
        select coalesce(sum(upper(r) - lower(r)), interval '0')
          from (select range_agg(tstzrange(since, coalesce(ended, 'infinity')) * tstzrange(p_from, p_to)) as ranges
                  from public.pauses
                 where kind = any (p_kinds) and since < p_to and coalesce(ended > p_from, true)) p
         cross join lateral unnest(p.ranges) as r);
end
$$;

-- Opens tasks again that have ended: attempts anew, ready now, with another callback to come. Answers how many it were;
-- what is open already stays as it is.
create function public.reopen_tasks(p_task_ids uuid[]) returns integer
language plpgsql security invoker set search_path = ''
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on set jit = off as $$
declare
    opened integer;
begin
    -- Queue before tasks, by id, as everywhere. The record's lock keeps retention away, where no row of the queue does.
    perform 1 from public.queue where task_id = any (p_task_ids) order by task_id for update;
    perform 1 from public.tasks where task_id = any (p_task_ids) order by task_id for update;
    with ready as (
        insert into public.queue as q (task_id, kind, priority, run_at, max_attempts)
        select task_id, kind, priority, now(), max_attempts
          from public.tasks where task_id = any (p_task_ids) and status is not null
        on conflict (task_id) do update
           set dead_letter = false, run_at = now(), attempt = 0, worker_id = null, started_at = null, cancel_requested = false,
               -- An outcome from before must not pass for one that was applied.
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

-- A task as acts answer it; wrapped, as public.cancel_task() has it.
create function public.task_view(p_task_id uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object('task', to_jsonb(r)) from public.task_records r where r.task_id = p_task_id
$$;

-- Replays a task that failed for good. {task, done: false} if it is not dead_letter; null if there is none.
create function public.replay_task(p_act uuid, p_who text, p_task_id uuid) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    known jsonb := public.find_audit_entry(p_act);
    opened boolean := false;
begin
    if known is not null then
        return known;
    end if;
    perform 1 from public.queue where task_id = p_task_id and dead_letter for update;
    if found then
        opened := public.reopen_tasks(array[p_task_id]) > 0;
    end if;
    known := public.task_view(p_task_id) || jsonb_build_object('done', opened);
    if opened then
        return public.record_audit_entry(p_act, p_who, 'replay', jsonb_build_object('task_id', p_task_id), known);
    end if;
    return known;
end
$$;

-- Replays what failed for good of a kind, from p_since until before p_until (null: now), one step: it looks at the next
-- p_step dead_letter ones behind the id p_after. {replayed, until, next}: `next` is where the next step goes on (null: it was the
-- last), `until` what it has to be given, so that nothing that fails again meanwhile is replayed twice.
create function public.replay_dead(
    p_act uuid, p_who text, p_kind text, p_since timestamptz, p_until timestamptz, p_after uuid, p_step integer
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    known jsonb := public.find_audit_entry(p_act);
    till timestamptz := least(p_until, clock_timestamp());
    looked uuid[];
    wanted uuid[];
    opened integer;
begin
    if known is not null then
        return known;
    end if;
    select array_agg(d.task_id order by d.task_id),
           -- What is dead_letter was touched last when it died.
           array_agg(d.task_id) filter (where d.updated_at >= coalesce(p_since, '-infinity') and d.updated_at < till)
      into looked, wanted
      from (select task_id, updated_at from public.queue
             where kind = p_kind and dead_letter and task_id > coalesce(p_after, '00000000-0000-0000-0000-000000000000'::uuid)
             order by task_id limit p_step) d;
    opened := public.reopen_tasks(coalesce(wanted, '{}'));
    return public.record_audit_entry(
        p_act, p_who, 'replay all',
        jsonb_build_object('kind', p_kind, 'since', p_since, 'until', till, 'after', p_after, 'replayed', opened),
        jsonb_build_object('replayed', opened, 'until', till,
                           'next', case when cardinality(looked) = p_step then looked[p_step] end));
end
$$;

-- Has a callback delivered again, under the same id, however it ended; at once, if it waits for its next attempt.
-- {task, done}: false if it is being delivered this moment; null if there is no such callback.
create function public.redeliver(p_act uuid, p_who text, p_task_id uuid) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    known jsonb := public.find_audit_entry(p_act);
    done boolean;
begin
    if known is not null then
        return known;
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
    known := public.task_view(p_task_id) || jsonb_build_object('done', done);
    if done then
        return public.record_audit_entry(p_act, p_who, 'redeliver', jsonb_build_object('task_id', p_task_id), known);
    end if;
    return known;
end
$$;

-- Cancels anybody's task. Null: there is none.
create function public.cancel_for_operator(p_act uuid, p_who text, p_task_id uuid) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    known jsonb := coalesce(public.find_audit_entry(p_act), public.cancel_task(p_task_id, null));
begin
    if known is null or exists (select from public.audit where act_id = p_act) then
        return known;
    end if;
    return public.record_audit_entry(p_act, p_who, 'cancel', jsonb_build_object('task_id', p_task_id), known);
end
$$;

-- Stops the claiming of a kind by the whole list_worker_rows until it is resumed; what is in hand goes on. {pause}: the one that
-- holds, which is an earlier one if there is one.
create function public.pause_kind(p_act uuid, p_who text, p_kind text, p_reason text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    known jsonb := public.find_audit_entry(p_act);
    new boolean;
begin
    if known is not null then
        return known;
    end if;
    insert into public.pauses (pause_id, kind, since, who, reason) values (p_act, p_kind, clock_timestamp(), p_who, p_reason)
    on conflict do nothing;
    new := found;
    known := (select jsonb_build_object('pause', to_jsonb(p)) from public.pauses p where kind = p_kind and ended is null);
    if new then
        return public.record_audit_entry(p_act, p_who, 'pause', jsonb_build_object('kind', p_kind, 'reason', p_reason), known);
    end if;
    return known;
end
$$;

-- Ends a kind's pause. {pause}: the one that ended; null inside if there was none.
create function public.resume_kind(p_act uuid, p_who text, p_kind text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    known jsonb := public.find_audit_entry(p_act);
    over public.pauses;
begin
    if known is not null then
        return known;
    end if;
    update public.pauses set ended = clock_timestamp() where kind = p_kind and ended is null returning * into over;
    if over.pause_id is null then
        return '{"pause": null}';
    end if;
    return public.record_audit_entry(p_act, p_who, 'resume', jsonb_build_object('kind', p_kind),
                             jsonb_build_object('pause', to_jsonb(over)));
end
$$;

-- The workers that were seen within their lease or still hold something: [{worker_id, host, version, seen_at,
-- last_seen_seconds, running_tasks, not_configured}].
create function public.list_worker_rows() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object(
               'worker_id', w.worker_id, 'host', w.host, 'version', w.version, 'seen_at', w.seen_at,
               'last_seen_seconds', extract(epoch from now() - w.seen_at), 'running_tasks', coalesce(h.tasks, 0),
               'not_configured', coalesce(c.not_configured, '{}')) order by w.seen_at desc), '[]')
      from public.workers w
      left join public.worker_configuration c using (worker_id)
      left join (select worker_id, count(*) as tasks from public.queue where worker_id is not null group by 1) h
        using (worker_id)
$$;

revoke all on public.audit, public.pauses from public, anon, authenticated;

grant select, insert, update, delete on public.audit, public.pauses to service_role;

revoke execute on function
    public.find_audit_entry, public.record_audit_entry, public.paused_for, public.reopen_tasks, public.task_view, public.replay_task,
    public.replay_dead, public.redeliver, public.cancel_for_operator, public.pause_kind, public.resume_kind, public.list_worker_rows
    from public, anon, authenticated;

grant execute on function
    public.find_audit_entry, public.record_audit_entry, public.paused_for, public.reopen_tasks, public.task_view, public.replay_task,
    public.replay_dead, public.redeliver, public.cancel_for_operator, public.pause_kind, public.resume_kind, public.list_worker_rows
    to service_role;
