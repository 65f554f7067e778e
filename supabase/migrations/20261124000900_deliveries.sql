-- Deliveries: what became of the mail for a reader's day. At most one is ever sent.
--
--   pending --begin--> sending (token) --> sent | failed | in_doubt     pending --> skipped
--      ^----surely not sent----/            failed, skipped, in_doubt --resolved by an admin--> pending
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
    status       text not null default 'pending'
                check (status in ('pending', 'sending', 'sent', 'failed', 'in_doubt', 'skipped')),
    reason      text,
    -- The lease under which it is sent, or was last.
    token       uuid,
    -- Whom it goes to, kept from the first attempt that may have sent it, so that another one is the same to the byte.
    envelope    jsonb,
    begun_at    timestamptz,
    -- By the schedule's clock: from then on it is too late. Null: never.
    skip_after  timestamptz,
    provider_id text,
    resolved_by  text,
    created_at  timestamptz not null default now(),
    ended_at    timestamptz,
    claimed_by uuid,
    sender_id text,
    unique (reader_id, kind, local_day),
    check (status <> 'sending' or (token is not null and envelope is not null and begun_at is not null)),
    constraint deliveries_envelope_while_needed check (envelope is null or status in ('sending', 'in_doubt'))
);

create index deliveries_newest on public.deliveries (owner, created_at desc, delivery_id desc);

create index deliveries_by_status on public.deliveries (status, created_at desc, delivery_id desc);

create index deliveries_of_task on public.deliveries (task_id);

-- One row: the database in which deliveries may be sent. In a restored backup it is another, and nothing is sent until an
-- admin has said so: what the backup holds as pending may have been sent since it was taken.
create table public.delivery_pause (
    one        boolean primary key default true check (one),
    -- Another cluster, or the same one brought back to an earlier moment (a new timeline), or another database in it.
    identity   text not null,
    -- The transaction that wrote this row. A dump brings the row back by another one.
    written_by text not null,
    reason     text
);

alter table public.deliveries enable row level security;

alter table public.delivery_pause enable row level security;

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
      from public.delivery_pause g
$$;

-- As before, but for the order of the locks: whoever ends tasks holds their rows of the queue before their deliveries, and whoever
-- begins to send holds a delivery before the gate.
create function public.set_delivery_pause(p_reason text, p_skip boolean, p_by text) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    if p_skip then
        perform 1 from public.queue
          where task_id in (select task_id from public.deliveries where status = 'pending')
          order by task_id for update;
        with waiting as materialized (
            select delivery_id from public.deliveries where status = 'pending' order by delivery_id for update)
        update public.deliveries d
           set status = 'skipped', reason = 'left out when deliveries were resumed', resolved_by = p_by, ended_at = now()
          from waiting where d.delivery_id = waiting.delivery_id;
    end if;
    insert into public.delivery_pause (identity, written_by, reason)
    values (public.database_identity(), pg_current_xact_id()::xid::text, p_reason)
    on conflict (one) do update
       set identity = excluded.identity, written_by = excluded.written_by, reason = excluded.reason;
end
$$;

select public.set_delivery_pause(null, false, null);

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
        delivery_id, owner, reader_id, kind, local_day, digest_id, skip_after, status, reason, ended_at)
    values (
        made, p_owner, p_reader_id, p_kind, p_local_day, p_digest_id, p_skip_after,
        case when p_skip is null then 'pending' else 'skipped' end, p_skip, case when p_skip is not null then now() end)
    on conflict do nothing;
    if found and p_skip is null then
        perform public.enqueue_delivery(made);
    end if;
end
$$;

-- When the last digest was written that its reader was shown, or that had nothing to show; null: none was. A digest that was
-- written while an earlier mail was under way left out what stands in that mail, so if the mail was not sent in the end, the
-- later digest does not count either. Deliveries and tasks that retention has removed hold up nothing: they are older than
-- all that is looked at for a digest.
create function public.last_digest(p_reader uuid) returns timestamptz
language sql stable security invoker set search_path = '' as $$
    select s.written_at
      from public.shown_digests s
     where s.reader_id = p_reader
       and not exists (
        select from public.deliveries v
         where v.reader_id = s.reader_id and v.kind = 'digest' and v.local_day < s.local_day
           and v.status not in ('sent', 'in_doubt')
           and (coalesce(v.ended_at > s.began_at, true)
                or (v.status = 'failed' and exists (
                    select from public.tasks t
                     where t.task_id = v.task_id and coalesce(t.finished_at > s.began_at, true)))))
     order by s.local_day desc limit 1
$$;

-- As before, but for the reason: what could not be read may have had something new.
create function public.deliver_digest() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.make_delivery(
        r.owner, r.reader_id, 'digest', new.local_day, new.task_id,
        (t.payload #>> '{scheduled,next_due_at}')::timestamptz,
        case when r.when_empty = 'skip' and new.digest -> 'papers' = '[]' and new.digest -> 'news' = '[]'
             then case new.digest ->> 'edition_status'
                      when 'failed' then 'no source could be read'
                      when 'partial' then 'there was nothing new in the sources that could be read'
                      else 'there was nothing new'
                  end
        end)
       from public.readers r, public.tasks t
      where r.reader_id = new.reader_id and r.email is not null and t.task_id = new.task_id;
    if not found then
        perform public.record_shown_keys(new.reader_id, array(select jsonb_array_elements_text(new.digest -> 'keys')));
    end if;
    return null;
end
$$;

create trigger digests_deliver after insert on public.digests
    for each row when (new.reader_id is not null and new.local_day is not null)
    execute function public.deliver_digest();

-- What was sent, or may have been, its reader was shown.
create function public.record_shown() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.record_shown_keys(new.reader_id, array(select jsonb_array_elements_text(d.digest -> 'keys')))
       from public.digests d where d.task_id = new.digest_id;
    return null;
end
$$;

create trigger deliveries_record_shown
    after update of status on public.deliveries
    for each row when (new.status in ('sent', 'in_doubt') and old.status is distinct from new.status)
    execute function public.record_shown();

-- The one mail that a reader gets when it is made, if that was asked for. A week later it is none any more.
create function public.create_welcome(p_reader_id uuid) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    update public.readers_private set welcome = true where reader_id = p_reader_id;
    perform public.make_delivery(
        r.owner, r.reader_id, 'welcome', (public.schedule_now() at time zone coalesce(r.timezone, 'UTC'))::date, null,
        public.schedule_now() + interval '7 days', null)
       from public.readers r where r.reader_id = p_reader_id and r.email is not null;
end
$$;

-- Whatever its task ends with, a delivery does not stay open: what was being sent then is in doubt, and says what its last attempt met.
create function public.close_delivery() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    update public.deliveries
       set status = case when status = 'sending' then 'in_doubt' when new.status = 'cancelled' then 'skipped' else 'failed' end,
           reason = case
               when status <> 'sending' then coalesce(new.error, 'its task was ' || new.status)
               when reason is not null then reason
               when new.error like 'worker lost%' then 'its sender was lost while it sent'
               else coalesce(new.error, 'its task was ' || new.status || ' while it sent')
           end,
           ended_at = now()
     where task_id = new.task_id and status in ('pending', 'sending');
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
        when reader.email is null then 'the reader has no e-mail address'
        when p_delivery.skip_after <= public.schedule_now() then 'it came too late: the next one is due'
    end;
end
$$;

-- Asks to send a delivery under the lease of its task. {"verdict": ...} is
--   send     with all that the mail is made of, and whether an earlier attempt may have sent it (begun_before). The same
--            token again is the same sender, whose answer was lost.
--   stop     it has ended, with {status, reason}: there is nothing to do. A sender that was lost while sending leaves `in_doubt`;
--            with p_repeatable_seconds (a provider that knows its key for so long) the sender that began it sends it again instead.
--   paused   not now, with {reason}.
--   lost     the lease is not, or no longer, what it takes.
create function public.begin_sending(
    p_delivery_id uuid, p_token uuid, p_repeatable_seconds double precision, p_sender_id text default null
) returns jsonb
language plpgsql security invoker
set search_path = ''
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    d public.deliveries;
    skip text;
    paused text;
    doubt text;
begin
    select * into d from public.deliveries where delivery_id = p_delivery_id for update;
    if d.delivery_id is null or not exists (
        select from public.queue q where q.task_id = d.task_id and q.lease_token = p_token and q.worker_id is not null)
    then
        return jsonb_build_object('verdict', 'lost');
    end if;
    if d.status = 'sending' and d.token = p_token then
        return jsonb_build_object(
            'verdict', 'send', 'begun_before', d.claimed_by is distinct from p_token, 'mail', public.mail_parts(d));
    end if;
    paused := public.deliveries_paused();
    skip := public.reason_to_skip(d);
    if d.status = 'sending' then
        doubt := public.reason_for_doubt(d, p_repeatable_seconds, p_sender_id, skip, paused);
        if doubt is not null then
            update public.deliveries set status = 'in_doubt', reason = doubt, ended_at = now()
             where delivery_id = p_delivery_id
            returning * into d;
        end if;
    elsif d.status in ('pending', 'failed') and d.token = p_token then
        -- This lease has said already what became of it: a late repetition of its question.
        return jsonb_build_object('verdict', 'lost');
    elsif d.status = 'failed' and not exists (
        select from public.tasks t where t.task_id = d.task_id and t.replayed_at > d.ended_at)
    then
        return jsonb_build_object('verdict', 'stop', 'status', d.status, 'reason', d.reason);
    elsif d.status in ('pending', 'failed') and paused is not null then
        return jsonb_build_object('verdict', 'paused', 'reason', paused);
    elsif d.status in ('pending', 'failed') and skip is not null then
        update public.deliveries set status = 'skipped', reason = skip, ended_at = now()
         where delivery_id = p_delivery_id
        returning * into d;
    end if;
    if d.status not in ('pending', 'failed', 'sending') then
        return jsonb_build_object('verdict', 'stop', 'status', d.status, 'reason', d.reason);
    end if;
    if not exists (select from public.delivery_pause) then
        perform public.set_delivery_pause(null, false, null);
    end if;
    update public.deliveries
       set status = 'sending', token = p_token, begun_at = coalesce(begun_at, now()), reason = null, ended_at = null,
           claimed_by = case when d.status = 'sending' then claimed_by else p_token end,
           -- The same one, if it repeats: no other may.
           sender_id = p_sender_id,
           envelope = coalesce(envelope, (
               select jsonb_build_object('name', r.name, 'email', r.email, 'link_generation', p.link_generation)
                 from public.readers r join public.readers_private p using (reader_id) where r.reader_id = d.reader_id))
     where delivery_id = p_delivery_id
    returning * into d;
    return jsonb_build_object(
        'verdict', 'send', 'begun_before', d.claimed_by is distinct from p_token, 'mail', public.mail_parts(d));
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

-- What became of a sending, by its holder alone: sent, failed, in_doubt, pending where surely nothing was sent and it is to be tried
-- again, or sending where another attempt under the same key will tell. Said again, it counts as said; said after others took the
-- holder for lost, it still counts where it takes the doubt away. p_bounce: nothing is to go to this address any more. False: not the
-- holder's to say.
create function public.end_sending(
    p_delivery_id uuid, p_token uuid, p_status text, p_reason text, p_provider_id text, p_bounce boolean
) returns boolean
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    d public.deliveries;
begin
    if p_status not in ('sent', 'failed', 'in_doubt', 'pending', 'sending') then
        raise exception '% is no end of a sending', p_status using errcode = 'invalid_parameter_value';
    end if;
    if p_bounce then
        -- The reader before the delivery, as everywhere.
        perform 1 from public.readers r join public.deliveries held using (reader_id)
          where held.delivery_id = p_delivery_id and held.token = p_token for update of r;
    end if;
    select * into d from public.deliveries where delivery_id = p_delivery_id for update;
    if d.token is distinct from p_token then
        return false;
    elsif d.status = p_status and p_status <> 'sending' then
        return true;
    elsif d.status <> 'sending' and not (d.status = 'in_doubt' and p_status in ('sent', 'failed')) then
        return false;
    end if;
    update public.deliveries
       set status = p_status, reason = p_reason, provider_id = coalesce(p_provider_id, provider_id),
           envelope = case when p_status in ('sending', 'in_doubt') then envelope end,
           begun_at = case when p_status <> 'pending' then begun_at end,
           ended_at = case when p_status not in ('pending', 'sending') then now() end
     where delivery_id = p_delivery_id;
    if p_bounce then
        update public.readers set status = 'bounced', status_reason = left(p_reason, 2000)
         where reader_id = d.reader_id and status = 'active';
    end if;
    return true;
end
$$;

-- As before, but for the order of the locks.
create function public.record_bounce(p_addresses text[], p_complaint boolean, p_reason text) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    stopped integer;
begin
    with there as materialized (
        select reader_id from public.readers
         where lower(email) in (select lower(each) from unnest(p_addresses) each)
           and (status in ('active', 'paused') or (p_complaint and status = 'bounced'))
         order by owner, external_id for update)
    update public.readers r
       set status = case when p_complaint then 'unsubscribed' else 'bounced' end, status_reason = left(p_reason, 2000)
      from there where r.reader_id = there.reader_id;
    get diagnostics stopped = row_count;
    return stopped;
end
$$;

-- As before, but what the mail needed is deleted: an admin's word ends the doubt.
create function public.resolve_delivery(p_delivery_id uuid, p_status text, p_by text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    d public.deliveries;
begin
    select * into d from public.deliveries where delivery_id = p_delivery_id for update;
    if d.delivery_id is null then
        return null;
    end if;
    if (d.status = 'in_doubt' and p_status in ('sent', 'failed', 'pending'))
       or (d.status in ('failed', 'skipped') and p_status = 'pending') then
        update public.deliveries
           set status = p_status, resolved_by = p_by, reason = 'resolved by ' || p_by, token = null, skip_after = null,
               envelope = null,
               begun_at = case when p_status <> 'pending' then begun_at end,
               ended_at = case when p_status <> 'pending' then now() end
         where delivery_id = p_delivery_id;
        if p_status = 'pending' then
            perform public.enqueue_delivery(p_delivery_id);
        end if;
    elsif d.status <> p_status then
        return jsonb_build_object('resolved', false, 'delivery', to_jsonb(d));
    end if;
    return (select jsonb_build_object('resolved', true, 'delivery', to_jsonb(n))
              from public.deliveries n where n.delivery_id = p_delivery_id);
end
$$;

-- Deliveries, newest first, behind a cursor (p_before, p_before_id): one owner's or everybody's, of a status, of a reader.
create function public.list_deliveries(
    p_owner text, p_status text, p_reader_id uuid, p_before timestamptz, p_before_id uuid, p_limit integer
) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(f) order by f.created_at desc, f.delivery_id desc), '[]')
      from (select * from public.deliveries d
             where (p_owner is null or d.owner = p_owner) and (p_status is null or d.status = p_status)
               and (p_reader_id is null or d.reader_id = p_reader_id)
               and (p_before is null or (d.created_at, d.delivery_id) < (p_before, p_before_id))
             order by d.created_at desc, d.delivery_id desc limit p_limit) f
$$;

revoke all on public.deliveries, public.delivery_pause from public, anon, authenticated;

grant select, insert, update, delete on public.deliveries, public.delivery_pause to service_role;

revoke execute on function
    public.database_identity, public.deliveries_paused, public.set_delivery_pause, public.enqueue_delivery,
    public.make_delivery, public.last_digest, public.record_shown, public.deliver_digest, public.create_welcome, public.close_delivery, public.reason_to_skip,
    public.begin_sending, public.mail_parts, public.end_sending, public.record_bounce, public.resolve_delivery,
    public.list_deliveries
    from public, anon, authenticated;

grant execute on function
    public.database_identity, public.deliveries_paused, public.set_delivery_pause, public.enqueue_delivery,
    public.make_delivery, public.last_digest, public.record_shown, public.deliver_digest, public.create_welcome, public.close_delivery, public.reason_to_skip,
    public.begin_sending, public.mail_parts, public.end_sending, public.record_bounce, public.resolve_delivery,
    public.list_deliveries
    to service_role;
