-- What a reader does with their own data: requests a link by mail, downloads everything, deletes everything.

-- Returns whether a link that was requested at this time is still valid: for 15 minutes.
create function public.link_is_fresh(p_requested_at timestamptz) returns boolean
language sql stable security invoker set search_path = '' as $$ select p_requested_at > now() - interval '15 minutes' $$;

-- Requests the mail with a link (p_kind: `download_link` or `delete_link`); its delivery, whose id is in the link, gets the id
-- p_link. Returns `requested`, `no_email`, or `too_many` (five a day); null if there is no such reader. A repetition changes
-- nothing.
create function public.request_link(p_link uuid, p_reader uuid, p_kind text) returns text
language plpgsql security invoker set search_path = '' as $$
declare
    reader public.readers;
begin
    select * into reader from public.readers where reader_id = p_reader for no key update;
    if not found then
        return null;
    elsif exists (select from public.deliveries where delivery_id = p_link and reader_id = p_reader) then
        return 'requested';
    elsif reader.email is null then
        return 'no_email';
    elsif 5 <= (select count(*) from public.deliveries
                 where reader_id = p_reader and kind in ('download_link', 'delete_link')
                   and created_at > now() - interval '1 day') then
        return 'too_many';
    end if;
    insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day)
    values (p_link, reader.owner, p_reader, p_kind,
            (public.schedule_now() at time zone
             case when public.timezone_is_known(reader.timezone) then reader.timezone else 'UTC' end)::date);
    perform public.enqueue_delivery(p_link);
    return 'requested';
end
$$;

-- Returns whether a link is valid.
create function public.link_is_valid(p_link uuid, p_reader uuid, p_kind text) returns boolean
language sql stable security invoker set search_path = '' as $$
    select exists (
        select from public.deliveries d
         where d.delivery_id = p_link and d.reader_id = p_reader and d.kind = p_kind and public.link_is_fresh(d.created_at))
$$;

-- Begins to delete everything about a reader, who has a valid link: from now on, nothing is sent. Returns `begun`, `expired`, or
-- `erased` if there is no such reader. A repetition changes nothing, also when the link is no longer valid.
create function public.begin_erasure(p_link uuid, p_reader uuid) returns text
language plpgsql security invoker set search_path = '' as $$
begin
    perform 1 from public.readers where reader_id = p_reader for update;
    if not found then
        return 'erased';
    elsif exists (select from public.readers_private where reader_id = p_reader and erase_requested_at is not null) then
        return 'begun';
    elsif not public.link_is_valid(p_link, p_reader, 'delete_link') then
        return 'expired';
    end if;
    update public.readers_private set erase_requested_at = now() where reader_id = p_reader;
    update public.readers set status = 'unsubscribed', status_reason = 'the reader deleted their data'
     where reader_id = p_reader;
    return 'begun';
end
$$;

-- Returns whether a mail to the reader may be on its way to the mail server now. Locks the reader's rows in the order of
-- public.lock_queue_rows(), so that no other mail can begin. A sender that was not seen for 15 minutes has ended: a delivery takes
-- at most ten.
create function public.mail_is_being_sent(p_reader uuid) returns boolean
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.lock_queue_of_readers(array[p_reader]);
    perform 1 from public.tasks where reader_id = p_reader order by task_id for update;
    perform 1 from public.deliveries where reader_id = p_reader order by delivery_id for update;
    return exists (
        select from public.deliveries d
          join public.queue q on q.task_id = d.task_id
          join public.workers w on w.worker_id = q.worker_id
         where d.reader_id = p_reader and d.status = 'sending' and w.seen_at > now() - interval '15 minutes');
end
$$;

-- Deletes the next rows of a reader whose erasure has begun. Returns `more`; `sending` while a mail to the reader is being sent,
-- which nothing can stop; or `erased` when nothing is left. What remains are two keyed hashes (public.erased_readers).
create function public.erase_reader(p_reader uuid) returns text
language plpgsql security invoker set search_path = '' as $$
declare
    reader public.readers;
begin
    select r.* into reader from public.readers r join public.readers_private p using (reader_id)
     where r.reader_id = p_reader and p.erase_requested_at is not null for update of r;
    if not found then
        return 'erased';
    end if;
    if public.mail_is_being_sent(p_reader) then
        return 'sending';
    end if;
    -- Without its file, an import ends.
    delete from public.uploads where reader_id = p_reader;
    delete from public.reader_papers where paper_id in (
        select paper_id from public.reader_papers where reader_id = p_reader order by paper_id limit 2000);
    if found then
        return 'more';
    end if;
    delete from public.digests where task_id in (
        select task_id from public.digests where reader_id = p_reader order by task_id limit 200);
    if found then
        return 'more';
    end if;
    perform public.mark_erased(reader.owner, reader.external_id, reader.email);
    delete from public.confirmation_mails where address_hash = public.address_hash(reader.email);
    perform public.remove_reader(p_reader, reader.owner);
    return 'erased';
end
$$;

-- Returns readers whose erasure has begun, for the workers: the request that began it may have ended early.
create function public.readers_to_erase(p_limit integer) returns uuid[]
language sql stable security invoker set search_path = '' as $$
    select coalesce(array_agg(l.reader_id order by l.reader_id), '{}')
      from (select reader_id from public.readers_private
             where erase_requested_at is not null order by reader_id limit p_limit) l
$$;

-- Permissions.
revoke execute on function
    public.link_is_fresh, public.request_link, public.link_is_valid, public.begin_erasure, public.mail_is_being_sent,
    public.erase_reader, public.readers_to_erase
    from public, anon, authenticated;
grant execute on function
    public.link_is_fresh, public.request_link, public.link_is_valid, public.begin_erasure, public.mail_is_being_sent,
    public.erase_reader, public.readers_to_erase
    to service_role;
