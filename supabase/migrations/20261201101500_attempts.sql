-- Attempts that failed, were snoozed or lost their worker, so that a task's page shows them. An attempt that succeeds writes
-- nothing here, and nothing more elsewhere: the time of its claim is in its lease token.

create table public.task_attempts (
    task_id     uuid        not null references public.tasks on delete cascade,
    lease_token uuid        not null,                   -- the claim: each attempt of a task has another one
    worker_id   uuid        not null,
    host        text,                                   -- the worker's host: the worker's row is removed when it ends
    attempt     smallint    not null,                   -- its number; a snooze does not use it up
    outcome     text        not null check (outcome in ('failed', 'snoozed', 'lost')),
    ended_at    timestamptz not null,
    error       text,                                   -- at most 2,000 characters
    primary key (task_id, lease_token)
);

alter table public.task_attempts enable row level security;

-- Returns a lease token that contains the time of the claim: a UUID of version 7 (RFC 9562, section 5.7).
create function public.new_lease_token(p_now timestamptz) returns uuid
language plpgsql volatile security invoker set search_path = '' as $$
declare
    milliseconds bytea := substring(int8send(trunc(extract(epoch from p_now) * 1000)::bigint) from 3);
begin
    -- gen_random_uuid() sets the variant and version 4; bits 52 and 53 make it version 7.
    return encode(
        set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing milliseconds from 1 for 6), 52, 1), 53, 1), 'hex')::uuid;
end
$$;

-- Returns the time of the claim that a lease token contains, in milliseconds; null if it is not of version 7.
create function public.claim_time(p_lease_token uuid) returns timestamptz
language sql immutable security invoker set search_path = '' as $$
    select case when get_byte(uuid_send(p_lease_token), 6) >> 4 = 7
                then to_timestamp(('x' || left(replace(p_lease_token::text, '-', ''), 12))::bit(48)::bigint / 1000.0) end
$$;

-- Removes all but the last ten attempts of each task that has another one.
create function public.keep_last_attempts() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    delete from public.task_attempts a
     using (select r.task_id, r.lease_token,
                   row_number() over (partition by r.task_id order by r.ended_at desc, r.lease_token desc) as place
              from public.task_attempts r where r.task_id in (select i.task_id from inserted i)) n
     where n.place > 10 and a.task_id = n.task_id and a.lease_token = n.lease_token;
    return null;
end
$$;

create trigger task_attempts_keep_last after insert on public.task_attempts
    referencing new table as inserted
    for each statement execute function public.keep_last_attempts();

-- Permissions.
revoke all on public.task_attempts from public, anon, authenticated;
grant select, insert, update, delete on public.task_attempts to service_role;
revoke execute on function public.new_lease_token, public.claim_time, public.keep_last_attempts from public, anon, authenticated;
grant execute on function public.new_lease_token, public.claim_time, public.keep_last_attempts to service_role;
