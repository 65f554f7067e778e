-- Which conditions hold, and what the operator's callbacks have said about them. The list of conditions is in
-- app/conditions/catalog.py.

create table public.condition_states (
    name            text        primary key,
    active          boolean     not null,
    changed_at      timestamptz not null,               -- when it began or ended
    seen_at         timestamptz not null,               -- when a process last saw it hold
    event           jsonb       not null,               -- what the last process that saw it said about it
    reported        boolean     not null default false, -- whether the last delivered callback said that it holds
    reported_at     timestamptz,                        -- when that callback was delivered
    -- The callback that is being sent:
    callback_id     uuid,
    callback_active boolean,
    claimed_by      uuid,                               -- the call that returned it last
    attempts        integer     not null default 0,
    retry_at        timestamptz
);

alter table public.condition_states enable row level security;

-- Records the conditions that a process sees: [{name, ...}]. A condition ends when no process has seen it for three minutes, so
-- that processes with different views do not alternate. Returns the callbacks that the caller must send now: [{name, active,
-- changed_at, callback_id, event}]; a repetition of the call p_call returns the same. A condition has at most one delivered
-- callback an hour; one that is not confirmed is returned again later, under the same id while it says the same.
create function public.update_conditions(p_call uuid, p_active jsonb) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    callbacks jsonb;
begin
    insert into public.condition_states as c (name, active, changed_at, seen_at, event)
    select a.value ->> 'name', true, now(), now(), a.value from jsonb_array_elements(p_active) a order by a.value ->> 'name'
    on conflict (name) do update
       set active = true, changed_at = case when c.active then c.changed_at else now() end, seen_at = now(),
           event = excluded.event;
    with ended as materialized (
        select name from public.condition_states
         where active and seen_at < now() - interval '3 minutes' order by name for update skip locked)
    update public.condition_states c set active = false, changed_at = now() from ended where c.name = ended.name;
    with due as materialized (
        select name from public.condition_states
         where active <> reported and coalesce(reported_at <= now() - interval '1 hour', true)
           and (coalesce(retry_at <= now(), true) or claimed_by = p_call)
         order by name limit 20 for update skip locked),
    claimed as (
        update public.condition_states c
           set callback_id = case when c.callback_active = c.active then coalesce(c.callback_id, gen_random_uuid())
                                  else gen_random_uuid() end,
               callback_active = c.active, claimed_by = p_call,
               attempts = least(c.attempts + (c.claimed_by is distinct from p_call)::integer, 10),
               retry_at = now() + least(interval '30 minutes', interval '90 seconds' * power(2, c.attempts))
          from due where c.name = due.name
        returning c.name, c.active, c.changed_at, c.callback_id, c.event)
    select coalesce(jsonb_agg(to_jsonb(claimed) order by claimed.name), '[]') into callbacks from claimed;
    return callbacks;
end
$$;

-- Records that a callback was delivered. A callback that another one has replaced changes nothing.
create function public.confirm_condition_callback(p_name text, p_callback_id uuid) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    update public.condition_states
       set reported = callback_active, reported_at = now(), callback_id = null, attempts = 0, retry_at = null
     where name = p_name and callback_id = p_callback_id;
end
$$;

-- Permissions.
revoke all on public.condition_states from public, anon, authenticated;
grant select, insert, update, delete on public.condition_states to service_role;
revoke execute on function public.update_conditions, public.confirm_condition_callback from public, anon, authenticated;
grant execute on function public.update_conditions, public.confirm_condition_callback to service_role;
