-- The sign-up page: strangers create unconfirmed readers, within limits; and the removal of readers that were never confirmed.

-- The sign-ups of the last hour, with known addresses too.
create table public.sign_ups (
    sign_up_id   uuid        primary key,               -- identifies the request
    network      text        not null check (char_length(network) <= 50),
    requested_at timestamptz not null                   -- when it had the lock: at most as many rows as the limit in an hour
);

create index sign_ups_newest on public.sign_ups (requested_at);

alter table public.sign_ups enable row level security;

-- Returns the seconds until a network may sign up again; 0: now. The limits count the sign-ups of the last hour.
create function public.sign_up_wait(p_network text, p_per_hour integer, p_per_network integer) returns double precision
language sql stable security invoker set search_path = '' as $$
    select coalesce(greatest(0, extract(epoch from max(f.requested_at) + interval '1 hour' - now())), 0)
      from ((select s.requested_at from public.sign_ups s
              where s.requested_at > now() - interval '1 hour'
              order by s.requested_at desc offset p_per_hour - 1 limit 1)
            union all
            (select s.requested_at from public.sign_ups s
              where s.network = p_network and s.requested_at > now() - interval '1 hour'
              order by s.requested_at desc offset p_per_network - 1 limit 1)) f
$$;

-- Creates an unconfirmed reader for a sign-up, or returns the seconds after which the network may try again. A repetition with the
-- same id within an hour returns 0 and changes nothing. Known and unknown addresses cause the same work: whether the address is
-- known is decided when the mail is about to be sent (public.reason_to_skip_confirmation()). For the same reason, no reader is
-- looked up here: the readers of known addresses are removed earlier, so a later repetition would reveal them.
create function public.sign_up(
    p_sign_up_id uuid, p_owner text, p_reader jsonb, p_network text, p_per_hour integer, p_per_network integer
) returns double precision
language plpgsql security invoker set search_path = '' as $$
declare
    wait double precision;
begin
    for round in 1..2 loop
        if exists (
            select from public.sign_ups where sign_up_id = p_sign_up_id and requested_at > now() - interval '1 hour')
        then
            return 0;
        end if;
        wait := public.sign_up_wait(p_network, p_per_hour, p_per_network);
        if wait > 0 then
            return wait;
        elsif round = 1 then
            -- Only one sign-up at a time counts the others; those beyond the limits never wait for it.
            perform pg_advisory_xact_lock(hashtextextended('sign-ups', 0));
        end if;
    end loop;
    insert into public.sign_ups (sign_up_id, network, requested_at) values (p_sign_up_id, p_network, clock_timestamp())
    on conflict (sign_up_id) do update set network = excluded.network, requested_at = excluded.requested_at;
    perform public.upsert_reader(p_owner, p_reader || '{"confirm": true, "welcome": true}', false);
    update public.confirmations set public_sign_up = true where reader_id = (p_reader ->> 'reader_id')::uuid;
    return 0;
end
$$;

-- Returns {last_hour, busiest_network, mails_last_day}: the sign-ups of the last hour, the most of one network, and the addresses
-- that got a confirmation mail in the last 24 hours.
create function public.sign_up_figures() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
               'last_hour', coalesce(sum(n.sign_ups), 0), 'busiest_network', coalesce(max(n.sign_ups), 0),
               'mails_last_day', (
                   select count(*) from public.confirmation_mails where last_at > now() - interval '1 day'))
      from (select count(*) as sign_ups from public.sign_ups
             where requested_at > now() - interval '1 hour' group by network) n
$$;

-- Returns up to p_limit readers (of p_among, unless it is null) that were never confirmed: a week after the last request for a mail
-- or, for sign-ups, when no mail was sent because the address is known or has got one. A reader without an address has nothing to
-- confirm.
create function public.never_confirmed(p_among uuid[], p_limit integer) returns uuid[]
language plpgsql stable security invoker set search_path = '' as $$
begin
    return array(
        select c.reader_id from public.confirmations c join public.readers r using (reader_id)
         where (p_among is null or c.reader_id = any (p_among)) and c.confirmed_at is null and not c.kept and r.email is not null
           and (c.requested_at < now() - interval '7 days'
                or (c.public_sign_up and (
                    select bool_and(d.status = 'skipped') from public.deliveries d
                     where d.reader_id = c.reader_id and d.kind = 'confirmation')))
         order by c.requested_at, c.reader_id limit p_limit);
end
$$;

-- Removes up to p_batch readers that were never confirmed (public.never_confirmed). Returns their number.
create function public.remove_unconfirmed(p_batch integer) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    gone uuid[] := public.never_confirmed(null, p_batch);
begin
    gone := array(
        select r.reader_id from public.readers r where r.reader_id = any (gone)
         order by r.owner, r.external_id for update skip locked);
    -- Asked again under the locks: a reader may have pressed the button, or requested another mail, meanwhile.
    gone := public.never_confirmed(gone, p_batch);
    -- All rows in the order of public.lock_queue_rows(), because this removes several readers at once.
    perform public.lock_queue_of_readers(gone);
    perform 1 from public.tasks where reader_id = any (gone) order by task_id for update;
    perform 1 from public.deliveries where reader_id = any (gone) order by delivery_id for update;
    perform public.remove_reader(g.reader_id, null) from unnest(gone) as g(reader_id);
    return cardinality(gone);
end
$$;

-- Removes readers that were never confirmed, and the records of sign-ups and mails that no limit counts any more. Returns
-- {readers, sign_ups, addresses}.
create function public.prune_sign_ups(p_batch integer) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    gone_readers integer := public.remove_unconfirmed(p_batch);
    gone_sign_ups integer;
    gone_addresses integer;
begin
    with old as materialized (
        select sign_up_id from public.sign_ups where requested_at < now() - interval '1 hour'
         order by requested_at, sign_up_id limit p_batch for update skip locked)
    delete from public.sign_ups s using old where s.sign_up_id = old.sign_up_id;
    get diagnostics gone_sign_ups = row_count;
    with old as materialized (
        select address_hash from public.confirmation_mails where last_at < now() - interval '30 days'
         order by last_at, address_hash limit p_batch for update skip locked)
    delete from public.confirmation_mails m using old where m.address_hash = old.address_hash;
    get diagnostics gone_addresses = row_count;
    return jsonb_build_object('readers', gone_readers, 'sign_ups', gone_sign_ups, 'addresses', gone_addresses);
end
$$;

-- Permissions.
revoke all on public.sign_ups from public, anon, authenticated;
grant select, insert, update, delete on public.sign_ups to service_role;
revoke execute on function
    public.sign_up_wait, public.sign_up, public.sign_up_figures, public.never_confirmed, public.remove_unconfirmed,
    public.prune_sign_ups
    from public, anon, authenticated;
grant execute on function
    public.sign_up_wait, public.sign_up, public.sign_up_figures, public.never_confirmed, public.remove_unconfirmed,
    public.prune_sign_ups
    to service_role;
