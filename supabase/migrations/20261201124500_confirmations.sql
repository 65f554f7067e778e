-- Confirmation of e-mail addresses: a reader with the status `unconfirmed` gets one mail, with a link to a button, and nothing else
-- until the button is pressed.
--
--   unconfirmed --confirm_reader--> active     active, paused --the address changes--> unconfirmed     no confirmation: removed

-- One row for each reader that was created unconfirmed.
create table public.confirmations (
    reader_id      uuid        primary key references public.readers on delete cascade,
    public_sign_up boolean     not null default false,  -- a stranger created the reader, through the sign-up page
    welcome        boolean     not null default false,  -- whether a welcome mail follows the confirmation
    requested_at   timestamptz not null default now(),  -- when the last mail was requested
    confirmed_at   timestamptz,                         -- null: the present address is not confirmed
    kept           boolean     not null default false   -- an address was confirmed once: retention does not remove the reader
);

create index confirmations_open on public.confirmations (requested_at) where confirmed_at is null and not kept;

-- The confirmation mails of the last 30 days, by address: at most one a day and three in 30 days.
create table public.confirmation_mails (
    address_hash text        primary key,               -- of public.address_hash(): the addresses are those of strangers
    delivery_id  uuid        not null,                  -- the last one
    mails        smallint    not null,                  -- since first_at
    first_at     timestamptz not null,
    last_at      timestamptz not null
);

create index confirmation_mails_newest on public.confirmation_mails (last_at);

alter table public.confirmations enable row level security;
alter table public.confirmation_mails enable row level security;

-- Identifies the mailbox of an address: letter case and a tag (+tag) do not matter, and neither do dots at Gmail.
create function public.address_hash(p_email text) returns text
language sql immutable security invoker set search_path = '' as $$
    select encode(sha256(convert_to(
               case when domain in ('gmail.com', 'googlemail.com') then replace(local, '.', '') || '@gmail.com'
                    else local || '@' || domain end, 'UTF8')), 'hex')
      from (select regexp_replace(split_part(lower(p_email), '@', 1), '(.)[+].*$', '\1') as local,
                   split_part(lower(p_email), '@', 2) as domain) a
$$;

-- Returns the seconds until the address may get another confirmation mail.
create function public.confirmation_wait(p_email text) returns double precision
language sql stable security invoker set search_path = '' as $$
    select greatest(0, extract(epoch from max(
               case when m.mails >= 3 then greatest(m.first_at + interval '30 days', m.last_at + interval '1 day')
                    else m.last_at + interval '1 day' end) - now()))
      from public.confirmation_mails m where m.address_hash = public.address_hash(p_email)
$$;

-- Counts a mail of the delivery to its reader's address. Returns null if it may be sent, or the reason why not. A repetition for
-- the same delivery counts nothing.
create function public.acquire_confirmation_mail(p_delivery public.deliveries) returns text
language plpgsql security invoker set search_path = '' as $$
declare
    hash text := (select public.address_hash(r.email) from public.readers r where r.reader_id = p_delivery.reader_id);
begin
    insert into public.confirmation_mails as m (address_hash, delivery_id, mails, first_at, last_at)
    values (hash, p_delivery.delivery_id, 1, now(), now())
    on conflict (address_hash) do update
       set delivery_id = excluded.delivery_id,
           mails = case when m.first_at <= now() - interval '30 days' then 1 else m.mails + 1 end,
           first_at = case when m.first_at <= now() - interval '30 days' then now() else m.first_at end,
           last_at = now()
     where m.delivery_id <> excluded.delivery_id and m.last_at <= now() - interval '1 day'
       and (m.mails < 3 or m.first_at <= now() - interval '30 days');
    if found or exists (
        select from public.confirmation_mails where address_hash = hash and delivery_id = p_delivery.delivery_id)
    then
        return null;
    end if;
    return 'the address has got a confirmation mail within a day, or three within 30 days';
end
$$;

-- Returns whether another reader with the same address has a status that its user or a bounce determined.
create function public.address_is_known(p_reader public.readers) returns boolean
language sql stable security invoker set search_path = '' as $$
    select exists (
        select from public.readers k
         where lower(k.email) = lower(p_reader.email) and k.reader_id <> p_reader.reader_id and k.status <> 'unconfirmed')
$$;

-- Returns why a confirmation must not be sent; null if it may be. A sign-up with a known address is not distinguished earlier, so
-- that neither the response nor its time reveals that the address is known.
create function public.reason_to_skip_confirmation(p_delivery public.deliveries, p_reader public.readers) returns text
language sql stable security invoker set search_path = '' as $$
    select case
               when p_reader.reader_id is null then 'the reader was removed'
               when p_reader.status <> 'unconfirmed' then 'the reader is ' || p_reader.status
               -- After an admin's resolution, only the day tells it.
               when p_delivery.skip_after <= public.schedule_now()
                    or p_delivery.local_day < (now() at time zone 'UTC')::date - 7
                   then 'too late: the confirmation has expired'
               when public.address_is_known(p_reader) and exists (
                        select from public.confirmations c where c.reader_id = p_reader.reader_id and c.public_sign_up)
                   then 'the address belongs to another reader'
           end
$$;

-- Requests a confirmation mail for an unconfirmed reader, whose row the caller has locked. It does nothing while one is pending.
-- The delivery's day, from which the link's expiry counts, is the first one without a confirmation.
create function public.request_confirmation(p_reader_id uuid) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.confirmations as c (reader_id) values (p_reader_id)
    on conflict (reader_id) do update set requested_at = now() where c.requested_at <> now();
    perform public.create_delivery(
        r.owner, r.reader_id, 'confirmation',
        greatest((now() at time zone 'UTC')::date, (
            select max(d.local_day) + 1 from public.deliveries d
             where d.reader_id = r.reader_id and d.kind = 'confirmation')),
        null, public.schedule_now() + interval '7 days', null)
       from public.readers r
      where r.reader_id = p_reader_id
        and not exists (
            select from public.deliveries d
             where d.reader_id = r.reader_id and d.kind = 'confirmation' and d.status = 'pending');
end
$$;

-- Requests the mail of a reader that becomes unconfirmed, or whose unconfirmed address changes.
create function public.request_confirmation_of_row() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.request_confirmation(new.reader_id);
    return null;
end
$$;

create trigger readers_request_confirmation after insert on public.readers
    for each row when (new.status = 'unconfirmed')
    execute function public.request_confirmation_of_row();

create trigger readers_request_confirmation_again after update of email, status on public.readers
    for each row when (
        new.status = 'unconfirmed'
        and (old.status <> 'unconfirmed' or lower(new.email) is distinct from lower(old.email)))
    execute function public.request_confirmation_of_row();

-- Keeps a reader unconfirmed until its present address is confirmed. A changed address is not confirmed, and links that were sent
-- to the previous one are no longer valid. The trigger's name makes it run before `readers_schedule`.
create function public.keep_unconfirmed() returns trigger
language plpgsql security invoker set search_path = '' as $$
declare
    -- Null if the reader was created without confirmation.
    confirmed boolean := (select c.confirmed_at is not null from public.confirmations c where c.reader_id = new.reader_id);
    changed boolean := lower(new.email) is distinct from lower(old.email) and confirmed is not null;
begin
    if changed then
        update public.confirmations set confirmed_at = null where reader_id = new.reader_id;
        update public.readers_private set link_generation = link_generation + 1 where reader_id = new.reader_id;
        confirmed := false;
    end if;
    if new.status in ('active', 'paused') and not confirmed and new.email is not null then
        if old.status = 'unconfirmed' and not changed then
            raise exception 'the reader is unconfirmed: it becomes active when the button behind the link in its confirmation '
                'mail is pressed' using errcode = 'check_violation', constraint = 'readers_confirmed_check';
        end if;
        new.status := 'unconfirmed';
    elsif new.status = 'unconfirmed' and old.status <> 'unconfirmed' and confirmed is distinct from false then
        raise exception 'a reader cannot become unconfirmed: only its creation with confirm requests a confirmation'
            using errcode = 'check_violation', constraint = 'readers_confirmed_check';
    end if;
    return new;
end
$$;

create trigger readers_keep_unconfirmed before update of email, status on public.readers
    for each row execute function public.keep_unconfirmed();

-- Creates the welcome mail of a new reader, or has its confirmation create it.
create function public.welcome_reader(p_reader_id uuid) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    update public.confirmations set welcome = true where reader_id = p_reader_id and confirmed_at is null;
    if not found then
        perform public.create_welcome(p_reader_id);
    end if;
end
$$;

-- Confirms a reader's address, through a link of this generation and day. Returns confirmed (also for a repetition), known (another
-- reader of a sign-up has the address: nothing changed), or invalid (the link is too old, was revoked or is for another address).
create function public.confirm_reader(p_reader_id uuid, p_generation integer, p_day date) returns text
language plpgsql security invoker set search_path = '' as $$
declare
    reader public.readers;
    confirmation public.confirmations;
begin
    -- Readers with the same address may be confirmed at the same time.
    perform 1 from public.readers
      where lower(email) = (select lower(r.email) from public.readers r where r.reader_id = p_reader_id)
      order by owner, external_id for update;
    select * into reader from public.readers where reader_id = p_reader_id for update;
    select c.* into confirmation
      from public.confirmations c join public.readers_private p using (reader_id)
     where c.reader_id = p_reader_id and p.link_generation = p_generation;
    if confirmation.reader_id is null or p_day < (now() at time zone 'UTC')::date - 7 then
        return 'invalid';
    elsif confirmation.confirmed_at is not null then
        return 'confirmed';
    elsif reader.status <> 'unconfirmed' then
        return 'invalid';
    elsif confirmation.public_sign_up and public.address_is_known(reader) then
        return 'known';
    end if;
    update public.confirmations set confirmed_at = now(), kept = true where reader_id = p_reader_id;
    update public.readers set status = 'active', status_reason = null where reader_id = p_reader_id;
    if confirmation.welcome then
        perform public.create_welcome(p_reader_id);
    end if;
    return 'confirmed';
end
$$;

-- Requests another confirmation mail for a reader of p_owner (null: any). Returns null if there is no such reader, or {outcome}:
-- requested, confirmed (with its status: the reader is not unconfirmed), or limited (with retry_after: the seconds until the
-- address may get another one). A repetition while the mail is pending changes nothing.
create function public.resend_confirmation(p_reader_id uuid, p_owner text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    reader public.readers;
    wait double precision;
begin
    select * into reader from public.readers
     where reader_id = p_reader_id and (p_owner is null or owner = p_owner) for update;
    if reader.reader_id is null then
        return null;
    elsif reader.status <> 'unconfirmed' then
        return jsonb_build_object('outcome', 'confirmed', 'status', reader.status);
    end if;
    wait := public.confirmation_wait(reader.email);
    if wait > 0 then
        return jsonb_build_object('outcome', 'limited', 'retry_after', wait);
    end if;
    perform public.request_confirmation(p_reader_id);
    return '{"outcome": "requested"}';
end
$$;

-- Permissions.
revoke all on public.confirmations, public.confirmation_mails from public, anon, authenticated;
grant select, insert, update, delete on public.confirmations, public.confirmation_mails to service_role;
revoke execute on function
    public.address_hash, public.confirmation_wait, public.acquire_confirmation_mail, public.address_is_known,
    public.reason_to_skip_confirmation, public.request_confirmation, public.request_confirmation_of_row,
    public.keep_unconfirmed, public.welcome_reader, public.confirm_reader, public.resend_confirmation
    from public, anon, authenticated;
grant execute on function
    public.address_hash, public.confirmation_wait, public.acquire_confirmation_mail, public.address_is_known,
    public.reason_to_skip_confirmation, public.request_confirmation, public.request_confirmation_of_row,
    public.keep_unconfirmed, public.welcome_reader, public.confirm_reader, public.resend_confirmation
    to service_role;
