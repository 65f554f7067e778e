-- Deliveries: what became of the mail for a reader's day. At most one is ever sent.
--
--   pending --begin--> sending (token) --> sent | failed | ambiguous     pending --> skipped
--      ^----surely not sent----/            failed, skipped, ambiguous --settled by an admin--> pending

create table public.deliveries (
    -- Comes from reader, kind and day, as the mail's Message-ID and the provider's key do.
    delivery_id uuid primary key,
    owner       text not null,
    reader_id   uuid not null,
    kind        text not null check (kind in ('digest', 'welcome')),
    local_day   date not null,
    -- The task that wrote the digest; null for a welcome.
    digest_id   uuid,
    -- The task that sends, and how many there were: one more each time that an admin has it sent after all.
    task_id     uuid,
    tasks       smallint not null default 0,
    state       text not null default 'pending'
                check (state in ('pending', 'sending', 'sent', 'failed', 'ambiguous', 'skipped')),
    reason      text,
    -- The lease under which it is sent, or was last.
    token       uuid,
    -- Whom it goes to, kept from the first attempt that may have sent it, so that another one is the same to the byte.
    envelope    jsonb,
    begun_at    timestamptz,
    -- By the schedule's clock: from then on it is too late. Null: never.
    skip_after  timestamptz,
    provider_id text,
    settled_by  text,
    created_at  timestamptz not null default now(),
    ended_at    timestamptz,
    unique (reader_id, kind, local_day),
    check (state <> 'sending' or (token is not null and envelope is not null and begun_at is not null))
);

create index deliveries_newest on public.deliveries (owner, created_at desc, delivery_id desc);
create index deliveries_by_state on public.deliveries (state, created_at desc, delivery_id desc);
create index deliveries_of_task on public.deliveries (task_id);

-- One row: the database in which deliveries may be sent. In a restored backup it is another, and nothing is sent until an
-- admin has said so: what the backup holds as pending may have been sent since it was taken.
create table public.delivery_gate (
    one        boolean primary key default true check (one),
    -- Another cluster, or the same one brought back to an earlier moment (a new timeline), or another database in it.
    identity   text not null,
    -- The transaction that wrote this row. A dump brings the row back by another one.
    written_by text not null,
    reason     text
);

alter table public.deliveries enable row level security;
alter table public.delivery_gate enable row level security;

create function public.database_identity() returns text
language sql stable security invoker set search_path = '' as $$
    select s.system_identifier || '.' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.' || d.oid
      from pg_control_system() s, pg_catalog.pg_database d where d.datname = current_database()
$$;

-- Why no delivery begins now; null where they do.
create function public.deliveries_paused() returns text
language sql stable security invoker set search_path = '' as $$
    select case
               when g.reason is not null then g.reason
               when g.identity <> public.database_identity() or g.written_by <> g.xmin::text
                   then 'this database was restored or moved: what is pending may have been sent before'
           end
      from public.delivery_gate g
$$;

-- Stops all deliveries (p_reason), or lets them begin (null), in this database; p_skip: without those that wait now.
create function public.set_delivery_gate(p_reason text, p_skip boolean, p_by text) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.delivery_gate (identity, written_by, reason)
    values (public.database_identity(), pg_current_xact_id()::xid::text, p_reason)
    on conflict (one) do update
       set identity = excluded.identity, written_by = excluded.written_by, reason = excluded.reason;
    if p_skip then
        update public.deliveries
           set state = 'skipped', reason = 'left out when deliveries were resumed', settled_by = p_by, ended_at = now()
         where state = 'pending';
    end if;
end
$$;

select public.set_delivery_gate(null, false, null);

-- Makes the task that sends a delivery.
create function public.enqueue_delivery(p_delivery_id uuid) returns void
language plpgsql security invoker set search_path = '' as $$
declare
    delivery public.deliveries;
begin
    update public.deliveries
       set tasks = tasks + 1, task_id = md5('delivery task:' || delivery_id || ':' || tasks)::uuid
     where delivery_id = p_delivery_id
    returning * into delivery;
    with made as (
        insert into public.tasks (
            task_id, owner, kind, payload, reader_id, local_day, parent, request_hash, priority, max_attempts)
        values (
            delivery.task_id, delivery.owner, 'delivery', jsonb_build_object('delivery_id', delivery.delivery_id),
            delivery.reader_id, delivery.local_day, delivery.digest_id, '', 1, 20)
        on conflict do nothing
        returning task_id, kind, priority, max_attempts
    )
    insert into public.queue (task_id, kind, priority, run_at, max_attempts)
    select task_id, kind, priority, now(), max_attempts from made;
end
$$;

-- Makes the one delivery of its kind for a reader's day, unless there is one; with p_skip it is there to say why not.
create function public.make_delivery(
    p_owner text, p_reader_id uuid, p_kind text, p_local_day date, p_digest_id uuid, p_skip_after timestamptz, p_skip text
) returns void
language plpgsql security invoker set search_path = '' as $$
declare
    made uuid := md5('delivery:' || p_kind || ':' || p_reader_id || ':' || p_local_day)::uuid;
begin
    insert into public.deliveries (
        delivery_id, owner, reader_id, kind, local_day, digest_id, skip_after, state, reason, ended_at)
    values (
        made, p_owner, p_reader_id, p_kind, p_local_day, p_digest_id, p_skip_after,
        case when p_skip is null then 'pending' else 'skipped' end, p_skip, case when p_skip is not null then now() end)
    on conflict do nothing;
    if found and p_skip is null then
        perform public.enqueue_delivery(made);
    end if;
end
$$;

-- When the last digest was made that its reader was shown, or that had nothing to show; null: none was. What one held that
-- nobody was sent is new to its reader still.
create function public.last_digest(p_reader uuid) returns timestamptz
language sql stable security invoker set search_path = '' as $$
    select d.created_at from public.digests d
     where d.reader_id = p_reader and not exists (
        select from public.deliveries v
         where v.reader_id = d.reader_id and v.kind = 'digest' and v.local_day = d.local_day
           and v.state not in ('sent', 'ambiguous') and d.digest -> 'keys' <> '[]')
     order by d.local_day desc limit 1
$$;

-- A scheduled digest and its delivery are there together or not at all. Without an address it is shown by being there.
create function public.deliver_digest() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.make_delivery(
        r.owner, r.reader_id, 'digest', new.local_day, new.task_id,
        (t.payload #>> '{scheduled,next_due_at}')::timestamptz,
        case when r.on_nothing = 'nothing' and new.digest -> 'papers' = '[]' and new.digest -> 'news' = '[]'
             then 'there was nothing new' end)
       from public.readers r, public.tasks t
      where r.reader_id = new.reader_id and r.address is not null and t.task_id = new.task_id;
    if not found then
        perform public.mark_shown(new.reader_id, array(select jsonb_array_elements_text(new.digest -> 'keys')));
    end if;
    return null;
end
$$;

create trigger digests_deliver after insert on public.digests
    for each row when (new.reader_id is not null and new.local_day is not null)
    execute function public.deliver_digest();

-- What was sent, or may have been, its reader was shown.
create function public.note_shown() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.mark_shown(new.reader_id, array(select jsonb_array_elements_text(d.digest -> 'keys')))
       from public.digests d where d.task_id = new.digest_id;
    return null;
end
$$;

create trigger deliveries_note_shown
    after update of state on public.deliveries
    for each row when (new.state in ('sent', 'ambiguous') and old.state is distinct from new.state)
    execute function public.note_shown();

-- The one mail that a reader gets when it is made, if that was asked for. A week later it is none any more.
create function public.plan_welcome(p_reader_id uuid) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    update public.readers_private set welcome = true where reader_id = p_reader_id;
    perform public.make_delivery(
        r.owner, r.reader_id, 'welcome', (public.schedule_now() at time zone coalesce(r.zone, 'UTC'))::date, null,
        public.schedule_now() + interval '7 days', null)
       from public.readers r where r.reader_id = p_reader_id and r.address is not null;
end
$$;

-- Whatever its task ends with, a delivery does not stay open: what was being sent then is in doubt.
create function public.close_delivery() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    update public.deliveries
       set state = case when state = 'sending' then 'ambiguous' when new.status = 'cancelled' then 'skipped' else 'failed' end,
           reason = case when state = 'sending' then 'its sender was lost while it sent' else
                        coalesce(new.error, 'its task was ' || new.status) end,
           ended_at = now()
     where task_id = new.task_id and state in ('pending', 'sending');
    return null;
end
$$;

create trigger tasks_close_delivery
    after update of status on public.tasks
    for each row when (new.kind = 'delivery' and new.status is not null and old.status is null)
    execute function public.close_delivery();

-- Why a delivery is not to be sent; null where it is.
create function public.reason_to_skip(p_delivery public.deliveries) returns text
language plpgsql stable security invoker set search_path = '' as $$
declare
    reader public.readers;
begin
    select * into reader from public.readers where reader_id = p_delivery.reader_id;
    return case
        when reader.status <> 'active' then 'the reader is ' || reader.status
        when reader.address is null then 'the reader has no address'
        when p_delivery.skip_after <= public.schedule_now() then 'it came too late: the next one is due'
    end;
end
$$;

-- Asks to send a delivery under the lease of its task. {"verdict": ...} is
--   send     with all that the mail is made of, and whether an earlier attempt may have sent it (begun_before). The same
--            token again is the same sender, whose answer was lost.
--   stop     it has ended, with {state, reason}: there is nothing to do. Whoever was lost while sending leaves `ambiguous`;
--            with p_repeatable_seconds (a provider that knows its key for so long) it is sent once more instead.
--   paused   not now, with {reason}.
--   lost     the lease is not, or no longer, what it takes.
create function public.begin_sending(p_delivery_id uuid, p_token uuid, p_repeatable_seconds double precision) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    d public.deliveries;
    skip text;
    paused text;
begin
    select * into d from public.deliveries where delivery_id = p_delivery_id for update;
    if d.delivery_id is null or not exists (
        select from public.queue q where q.task_id = d.task_id and q.lease_token = p_token and q.worker_id is not null)
    then
        return jsonb_build_object('verdict', 'lost');
    end if;
    if d.state = 'sending' and d.token = p_token then
        return jsonb_build_object(
            'verdict', 'send', 'begun_before', d.begun_at < now(), 'mail', public.mail_parts(d));
    end if;
    paused := public.deliveries_paused();
    skip := public.reason_to_skip(d);
    if d.state = 'sending' and (
        skip is not null or paused is not null or coalesce(d.begun_at < now() - make_interval(secs => p_repeatable_seconds), true))
    then
        update public.deliveries
           set state = 'ambiguous', reason = 'its sender was lost while it sent', ended_at = now()
         where delivery_id = p_delivery_id
        returning * into d;
    elsif d.state in ('pending', 'failed') and d.token = p_token then
        -- This lease has said already what became of it: a late repetition of its question.
        return jsonb_build_object('verdict', 'lost');
    elsif d.state in ('pending', 'failed') and paused is not null then
        return jsonb_build_object('verdict', 'paused', 'reason', paused);
    elsif d.state in ('pending', 'failed') and skip is not null then
        update public.deliveries set state = 'skipped', reason = skip, ended_at = now()
         where delivery_id = p_delivery_id
        returning * into d;
    end if;
    if d.state not in ('pending', 'failed', 'sending') then
        return jsonb_build_object('verdict', 'stop', 'state', d.state, 'reason', d.reason);
    end if;
    if not exists (select from public.delivery_gate) then
        perform public.set_delivery_gate(null, false, null);
    end if;
    update public.deliveries
       set state = 'sending', token = p_token, begun_at = coalesce(begun_at, now()), reason = null, ended_at = null,
           envelope = coalesce(envelope, (
               select jsonb_build_object('name', r.name, 'address', r.address, 'link_generation', p.link_generation)
                 from public.readers r join public.readers_private p using (reader_id) where r.reader_id = d.reader_id))
     where delivery_id = p_delivery_id
    returning * into d;
    return jsonb_build_object(
        'verdict', 'send', 'begun_before', d.begun_at < now(), 'mail', public.mail_parts(d));
end
$$;

-- What a mail is made of.
create function public.mail_parts(p_delivery public.deliveries) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select p_delivery.envelope || jsonb_build_object(
        'delivery_id', p_delivery.delivery_id, 'reader_id', p_delivery.reader_id, 'kind', p_delivery.kind,
        'local_day', p_delivery.local_day, 'created_at', p_delivery.created_at,
        'digest', (select jsonb_build_object('digest', d.digest, 'page', d.page)
                     from public.digests d where d.task_id = p_delivery.digest_id))
$$;

-- What became of a sending, by its holder alone: sent, failed, ambiguous, or pending where surely nothing was sent and it
-- is to be tried again. Said again, it counts as said; said after others took the holder for lost, it still counts
-- where it takes the doubt away. p_bounce: nothing is to go to this address any more. False: not the holder's to say.
create function public.end_sending(
    p_delivery_id uuid, p_token uuid, p_state text, p_reason text, p_provider_id text, p_bounce boolean
) returns boolean
language plpgsql security invoker set search_path = '' as $$
declare
    d public.deliveries;
begin
    if p_state not in ('sent', 'failed', 'ambiguous', 'pending') then
        raise exception '% is no end of a sending', p_state using errcode = 'invalid_parameter_value';
    end if;
    if p_bounce then
        -- The reader before the delivery, as everywhere.
        perform 1 from public.readers r join public.deliveries held using (reader_id)
          where held.delivery_id = p_delivery_id and held.token = p_token for update of r;
    end if;
    select * into d from public.deliveries where delivery_id = p_delivery_id for update;
    if d.token is distinct from p_token then
        return false;
    elsif d.state = p_state then
        return true;
    elsif d.state <> 'sending' and not (d.state = 'ambiguous' and d.settled_by is null and p_state in ('sent', 'failed')) then
        return false;
    end if;
    update public.deliveries
       set state = p_state, reason = p_reason, provider_id = coalesce(p_provider_id, provider_id),
           envelope = case when p_state <> 'pending' then envelope end,
           begun_at = case when p_state <> 'pending' then begun_at end,
           ended_at = case when p_state <> 'pending' then now() end
     where delivery_id = p_delivery_id;
    if p_bounce then
        update public.readers set status = 'bounced', status_reason = left(p_reason, 2000)
         where reader_id = d.reader_id and status = 'active';
    end if;
    return true;
end
$$;

-- A provider says that mails to an address come back, or that whoever reads them calls them spam: nobody at that address
-- (p_addresses: its spellings), whosever readers they are, gets any more. By the address, not by the mail: who has another one since still gets theirs.
-- Answers how many readers it stopped; said again, none.
create function public.record_bounce(p_addresses text[], p_complaint boolean, p_reason text) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    stopped integer;
begin
    with there as materialized (
        select reader_id from public.readers
         where lower(address) in (select lower(each) from unnest(p_addresses) each)
           and (status in ('active', 'paused') or (p_complaint and status = 'bounced'))
         order by reader_id for update)
    update public.readers r
       set status = case when p_complaint then 'unsubscribed' else 'bounced' end, status_reason = left(p_reason, 2000)
      from there where r.reader_id = there.reader_id;
    get diagnostics stopped = row_count;
    return stopped;
end
$$;

-- An admin's word on a delivery: that it was sent or was not (of one in doubt), or that it is to be sent (of one that was
-- not, or may not have been). {"settled": ..., "delivery": ...}, settled: false where it is not in such a state. Null: there is none.
create function public.settle_delivery(p_delivery_id uuid, p_state text, p_by text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    d public.deliveries;
begin
    select * into d from public.deliveries where delivery_id = p_delivery_id for update;
    if d.delivery_id is null then
        return null;
    end if;
    if (d.state = 'ambiguous' and p_state in ('sent', 'failed', 'pending'))
       or (d.state in ('failed', 'skipped') and p_state = 'pending') then
        update public.deliveries
           set state = p_state, settled_by = p_by, reason = 'settled by ' || p_by, token = null, skip_after = null,
               envelope = case when p_state <> 'pending' then envelope end,
               begun_at = case when p_state <> 'pending' then begun_at end,
               ended_at = case when p_state <> 'pending' then now() end
         where delivery_id = p_delivery_id;
        if p_state = 'pending' then
            perform public.enqueue_delivery(p_delivery_id);
        end if;
    elsif d.state <> p_state then
        return jsonb_build_object('settled', false, 'delivery', to_jsonb(d));
    end if;
    return (select jsonb_build_object('settled', true, 'delivery', to_jsonb(n))
              from public.deliveries n where n.delivery_id = p_delivery_id);
end
$$;

-- Deliveries, newest first, behind a cursor (p_before, p_before_id): one owner's or everybody's, of a state, of a reader.
create function public.list_deliveries(
    p_owner text, p_state text, p_reader_id uuid, p_before timestamptz, p_before_id uuid, p_limit integer
) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(f) order by f.created_at desc, f.delivery_id desc), '[]')
      from (select * from public.deliveries d
             where (p_owner is null or d.owner = p_owner) and (p_state is null or d.state = p_state)
               and (p_reader_id is null or d.reader_id = p_reader_id)
               and (p_before is null or (d.created_at, d.delivery_id) < (p_before, p_before_id))
             order by d.created_at desc, d.delivery_id desc limit p_limit) f
$$;

revoke all on public.deliveries, public.delivery_gate from public, anon, authenticated;
grant select, insert, update, delete on public.deliveries, public.delivery_gate to service_role;
revoke execute on function
    public.database_identity, public.deliveries_paused, public.set_delivery_gate, public.enqueue_delivery,
    public.make_delivery, public.last_digest, public.note_shown, public.deliver_digest, public.plan_welcome, public.close_delivery, public.reason_to_skip,
    public.begin_sending, public.mail_parts, public.end_sending, public.record_bounce, public.settle_delivery,
    public.list_deliveries
    from public, anon, authenticated;
grant execute on function
    public.database_identity, public.deliveries_paused, public.set_delivery_gate, public.enqueue_delivery,
    public.make_delivery, public.last_digest, public.note_shown, public.deliver_digest, public.plan_welcome, public.close_delivery, public.reason_to_skip,
    public.begin_sending, public.mail_parts, public.end_sending, public.record_bounce, public.settle_delivery,
    public.list_deliveries
    to service_role;
