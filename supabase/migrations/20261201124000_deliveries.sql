-- Deliveries: the mails of a reader's days. At most one mail is sent for each day.
--
--   pending --begin_sending--> sending (token) --> sent | failed | in_doubt     pending --> skipped
--      ^----certainly not sent----/                failed, skipped, in_doubt --resolved by an admin--> pending

create table public.deliveries (
    delivery_id uuid        primary key,                -- computed from reader, kind and day, as the mail's Message-ID and the
                                                        -- provider's idempotency key are; of a link: from the caller
    owner       text        not null,
    reader_id   uuid        not null,
    kind        text        not null check (kind in (
                                'digest', 'welcome', 'confirmation', 'download_link', 'delete_link')),
    local_day   date        not null,
    digest_id   uuid,                                   -- the task that wrote the digest; null for other kinds
    task_id     uuid,                                   -- the task that sends it
    tasks       smallint    not null default 0,         -- number of such tasks: 1, plus 1 each time an admin sends it again
    status      text        not null default 'pending'
                            check (status in ('pending', 'sending', 'sent', 'failed', 'in_doubt', 'skipped')),
    reason      text,
    token       uuid,                                   -- the lease of the current or last attempt to send
    claimed_by  uuid,                                   -- the lease under which the first attempt began
    sender_id   text,                                   -- the provider's account of that attempt
    envelope    jsonb,                                  -- the recipient, kept from the first attempt that may have sent the mail,
                                                        -- so that a repetition is identical byte for byte
    begun_at    timestamptz,
    skip_after  timestamptz,                            -- by the schedule's clock: too late from then on; null: never
    provider_id text,
    resolved_by text,                                   -- the admin who resolved it
    created_at  timestamptz not null default now(),
    ended_at    timestamptz,
    check (status <> 'sending' or (token is not null and envelope is not null and begun_at is not null)),
    constraint deliveries_envelope_while_needed check (envelope is null or status in ('sending', 'in_doubt'))
);

-- One mail of a kind a day; but a reader may request several links (public.request_link).
create unique index deliveries_of_day on public.deliveries (
    reader_id, kind, local_day, (case when kind in ('download_link', 'delete_link') then delivery_id end)) nulls not distinct;
-- Each listing reads one owner and status, or merges all of them (public.list_deliveries).
create index deliveries_newest on public.deliveries (owner, status, created_at desc, delivery_id desc);
create index deliveries_by_status on public.deliveries (status, created_at desc, delivery_id desc);
create index deliveries_of_task on public.deliveries (task_id);

-- One row: the database that may send deliveries. A restored backup has another identity, and sends nothing until an admin
-- resumes deliveries: what is pending in the backup may have been sent since the backup was made.
create table public.delivery_pause (
    one        boolean primary key default true check (one),
    identity   text    not null,                        -- public.database_identity() of the database that wrote this row
    written_by text    not null,                        -- the transaction that wrote this row; a restored dump has another
    reason     text                                     -- why an admin paused deliveries; null: they are not paused
);

alter table public.deliveries enable row level security;
alter table public.delivery_pause enable row level security;

-- Identifies the cluster, its timeline (which changes with a restore to an earlier time) and the database.
create function public.database_identity() returns text
language sql stable security invoker set search_path = '' as $$
    select s.system_identifier || '.' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.' || d.oid
      from pg_control_system() s, pg_catalog.pg_database d where d.datname = current_database()
$$;

-- Returns why deliveries are paused; null if they are not.
create function public.deliveries_paused() returns text
language sql stable security invoker set search_path = '' as $$
    select case
               when g.reason is not null then g.reason
               when g.identity <> public.database_identity() or g.written_by <> g.xmin::text
                   then 'this database was restored or moved: pending deliveries may have been sent already'
           end
      from public.delivery_pause g
$$;

-- Pauses deliveries with a reason, or resumes them (p_reason null) and makes this database the one that sends.
create function public.set_delivery_pause(p_reason text) returns void
language sql security invoker set search_path = '' as $$
    insert into public.delivery_pause (identity, written_by, reason)
    values (public.database_identity(), pg_current_xact_id()::xid::text, p_reason)
    on conflict (one) do update
       set identity = excluded.identity, written_by = excluded.written_by, reason = excluded.reason
$$;

select public.set_delivery_pause(null);

-- Skips the next p_limit pending deliveries, the newest first. Returns whether any are left. Locks in the order of
-- public.lock_queue_rows().
create function public.skip_pending_deliveries(p_by text, p_limit integer) returns boolean
language plpgsql security invoker set search_path = '' as $$
declare
    waiting uuid[] := array(
        select delivery_id from public.deliveries where status = 'pending'
         order by created_at desc, delivery_id desc limit p_limit);
begin
    perform 1 from public.queue
      where task_id in (select task_id from public.deliveries where delivery_id = any (waiting))
      order by task_id for update;
    with locked as materialized (
        select delivery_id from public.deliveries
         where delivery_id = any (waiting) and status = 'pending' order by delivery_id for update)
    update public.deliveries d
       set status = 'skipped', reason = 'skipped when deliveries were resumed', resolved_by = p_by, ended_at = now()
      from locked where d.delivery_id = locked.delivery_id;
    return exists (select from public.deliveries where status = 'pending');
end
$$;

-- Creates the task that sends a delivery.
create function public.enqueue_delivery(p_delivery_id uuid) returns void
language plpgsql security invoker set search_path = '' as $$
declare
    delivery public.deliveries;
begin
    update public.deliveries
       set tasks = tasks + 1, task_id = md5('delivery task:' || delivery_id || ':' || tasks)::uuid
     where delivery_id = p_delivery_id
    returning * into delivery;
    with created as (
        insert into public.tasks (
            task_id, owner, kind, payload, reader_id, local_day, parent, request_hash, traceparent, priority, max_attempts)
        values (
            delivery.task_id, delivery.owner, 'delivery', jsonb_build_object('delivery_id', delivery.delivery_id),
            delivery.reader_id, delivery.local_day, delivery.digest_id, '',
            (select t.traceparent from public.tasks t where t.task_id = delivery.digest_id), 1, 20)
        on conflict do nothing
        returning task_id, kind, priority, max_attempts
    )
    insert into public.queue (task_id, kind, priority, run_at, max_attempts)
    select task_id, kind, priority, now(), max_attempts from created;
end
$$;

-- Creates the delivery of a kind for a reader's day, unless there is one. With p_skip_reason it is `skipped`.
create function public.create_delivery(
    p_owner text, p_reader_id uuid, p_kind text, p_local_day date, p_digest_id uuid, p_skip_after timestamptz, p_skip_reason text
) returns void
language plpgsql security invoker set search_path = '' as $$
declare
    new_id uuid := md5('delivery:' || p_kind || ':' || p_reader_id || ':' || p_local_day)::uuid;
begin
    insert into public.deliveries (
        delivery_id, owner, reader_id, kind, local_day, digest_id, skip_after, status, reason, ended_at)
    values (
        new_id, p_owner, p_reader_id, p_kind, p_local_day, p_digest_id, p_skip_after,
        case when p_skip_reason is null then 'pending' else 'skipped' end, p_skip_reason,
        case when p_skip_reason is not null then now() end)
    on conflict do nothing;
    if found and p_skip_reason is null then
        perform public.enqueue_delivery(new_id);
    end if;
end
$$;

-- Creates the welcome mail of a new reader. It is skipped after a week.
create function public.create_welcome(p_reader_id uuid) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.create_delivery(
        r.owner, r.reader_id, 'welcome', (public.schedule_now() at time zone coalesce(r.timezone, 'UTC'))::date, null,
        public.schedule_now() + interval '7 days', null)
       from public.readers r where r.reader_id = p_reader_id and r.email is not null;
end
$$;

-- Creates the delivery of a digest, or records its items as shown if the reader has no e-mail address.
create function public.deliver_digest() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.create_delivery(
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

-- Records the items of a delivery that was sent, or may have been, as shown.
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

-- Records a digest as shown.
create function public.record_shown_digest(p_task_id uuid) returns void
language sql security invoker set search_path = '' as $$
    insert into public.shown_digests (reader_id, local_day, began_at, written_at)
    select d.reader_id, d.local_day, coalesce(t.created_at, d.created_at) - interval '1 minute', d.created_at
      from public.digests d left join public.tasks t using (task_id)
     where d.task_id = p_task_id and d.reader_id is not null and d.local_day is not null
    on conflict do nothing
$$;

create function public.record_sent_digest() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.record_shown_digest(new.digest_id);
    return null;
end
$$;

create trigger deliveries_record_sent
    after update of status on public.deliveries
    for each row when (new.kind = 'digest' and new.status in ('sent', 'in_doubt') and old.status is distinct from new.status)
    execute function public.record_sent_digest();

-- Records digests that need no mail as shown: those of readers without an e-mail address, and those that are empty. The trigger's
-- name makes it run after `digests_deliver`, which creates the delivery.
create function public.record_unsent_digest() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    if coalesce(new.digest -> 'keys', '[]') = '[]' or not exists (
        select from public.deliveries
         where reader_id = new.reader_id and kind = 'digest' and local_day = new.local_day)
    then
        perform public.record_shown_digest(new.task_id);
    end if;
    return null;
end
$$;

create trigger digests_record_shown after insert on public.digests
    for each row when (new.reader_id is not null and new.local_day is not null)
    execute function public.record_unsent_digest();

-- Closes the delivery of a task that ends. A delivery that was being sent becomes `in_doubt`, with the reason of the last attempt.
create function public.close_delivery() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    update public.deliveries
       set status = case when status = 'sending' then 'in_doubt' when new.status = 'cancelled' then 'skipped' else 'failed' end,
           reason = case
               when status <> 'sending' then coalesce(new.error, 'its task was ' || new.status)
               when reason is not null then reason
               when new.error like 'worker lost%' then 'its sender was lost while sending'
               else coalesce(new.error, 'its task was ' || new.status || ' while sending')
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

-- Permissions.
revoke all on public.deliveries, public.delivery_pause from public, anon, authenticated;
grant select, insert, update, delete on public.deliveries, public.delivery_pause to service_role;
revoke execute on function
    public.database_identity, public.deliveries_paused, public.set_delivery_pause,
    public.skip_pending_deliveries, public.enqueue_delivery, public.create_delivery, public.create_welcome,
    public.deliver_digest, public.record_shown,
    public.record_shown_digest, public.record_sent_digest, public.record_unsent_digest, public.close_delivery
    from public, anon, authenticated;
grant execute on function
    public.database_identity, public.deliveries_paused, public.set_delivery_pause,
    public.skip_pending_deliveries, public.enqueue_delivery, public.create_delivery, public.create_welcome,
    public.deliver_digest, public.record_shown,
    public.record_shown_digest, public.record_sent_digest, public.record_unsent_digest, public.close_delivery
    to service_role;
