-- Sending deliveries: the decision to send, the result, and an admin's resolution.

-- Returns why a delivery must not be sent; null if it may be.
create function public.reason_to_skip(p_delivery public.deliveries) returns text
language plpgsql stable security invoker set search_path = '' as $$
declare
    reader public.readers;
    is_link boolean := p_delivery.kind in ('download_link', 'delete_link');
begin
    select * into reader from public.readers where reader_id = p_delivery.reader_id;
    if p_delivery.kind = 'confirmation' then
        return public.reason_to_skip_confirmation(p_delivery, reader);
    end if;
    return case
        when exists (select from public.readers_private
                      where reader_id = p_delivery.reader_id and erase_requested_at is not null)
            then 'the reader deleted their data'
        when is_link and not public.link_is_fresh(p_delivery.created_at) then 'too late: its link is no longer valid'
        -- The reader has just asked for a link, whatever stopped the digests.
        when reader.status <> 'active' and not (is_link and reader.status in ('paused', 'unsubscribed', 'bounced'))
            then 'the reader is ' || reader.status
        when reader.email is null then 'the reader has no e-mail address'
        when p_delivery.skip_after <= public.schedule_now() then 'too late: the next one is due'
    end;
end
$$;

-- Returns why a `sending` delivery cannot be sent again by another lease and becomes in_doubt. Null if it can: its provider
-- recognizes the idempotency key for p_repeatable_seconds, the account is the same, and there is no other reason.
create function public.reason_for_doubt(
    p_delivery public.deliveries, p_repeatable_seconds double precision, p_sender_id text, p_skip text, p_paused text
) returns text
language sql stable security invoker set search_path = '' as $$
    select coalesce(p_delivery.reason, 'its sender was lost while sending') || doubt.why
      from (select case
                       when p_repeatable_seconds is null then ''
                       when p_delivery.sender_id is distinct from p_sender_id or p_sender_id is null
                           then '; not repeated: another sender began it'
                       when p_delivery.begun_at < now() - make_interval(secs => p_repeatable_seconds)
                           then '; not repeated: it began too long ago'
                       else '; not repeated: ' || coalesce(p_skip, p_paused)
                   end) doubt(why)
     where doubt.why is not null
$$;

-- Returns everything that a mail contains.
create function public.mail_parts(p_delivery public.deliveries) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select p_delivery.envelope || jsonb_build_object(
        'delivery_id', p_delivery.delivery_id, 'reader_id', p_delivery.reader_id, 'kind', p_delivery.kind,
        'local_day', p_delivery.local_day, 'created_at', p_delivery.created_at,
        'digest', (select d.digest from public.digests d where d.task_id = p_delivery.digest_id))
$$;

-- Marks a delivery as being sent by this lease, and returns it.
create function public.start_sending(p_delivery public.deliveries, p_token uuid, p_sender_id text) returns public.deliveries
language plpgsql security invoker set search_path = '' as $$
declare
    d public.deliveries;
begin
    if not exists (select from public.delivery_pause) then
        perform public.set_delivery_pause(null);
    end if;
    update public.deliveries
       set status = 'sending', token = p_token, begun_at = coalesce(begun_at, now()), reason = null, ended_at = null,
           claimed_by = case when p_delivery.status = 'sending' then claimed_by else p_token end,
           -- A repetition has the same sender: public.reason_for_doubt() refuses any other.
           sender_id = p_sender_id,
           envelope = coalesce(envelope, (
               select jsonb_build_object('name', r.name, 'email', r.email, 'link_generation', p.link_generation)
                 from public.readers r join public.readers_private p using (reader_id)
                where r.reader_id = p_delivery.reader_id))
     where delivery_id = p_delivery.delivery_id
    returning * into d;
    return d;
end
$$;

-- Requests to send a delivery under the lease of its task. Returns {"verdict": ...}:
--   send     with the parts of the mail, and whether an earlier attempt may have sent it (begun_before). The same token again is
--            the same sender, whose response was lost.
--   stop     the delivery has ended, with {status, reason}. A sender that was lost while it sent leaves `in_doubt`; with
--            p_repeatable_seconds (the provider recognizes its key for so long) the same account sends again instead.
--   paused   deliveries are paused, with {reason}.
--   lost     the lease is not valid for this delivery, or no longer.
create function public.begin_sending(
    p_delivery_id uuid, p_token uuid, p_repeatable_seconds double precision, p_sender_id text default null
) returns jsonb
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
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
    if d.status <> 'sending' or d.token <> p_token then
        paused := public.deliveries_paused();
        skip := public.reason_to_skip(d);
        if d.kind = 'confirmation' and skip is null and paused is null then
            skip := public.acquire_confirmation_mail(d);
        end if;
        if d.status = 'sending' then
            doubt := public.reason_for_doubt(d, p_repeatable_seconds, p_sender_id, skip, paused);
            if doubt is not null then
                update public.deliveries set status = 'in_doubt', reason = doubt, ended_at = now()
                 where delivery_id = p_delivery_id
                returning * into d;
            end if;
        elsif d.status in ('pending', 'failed') and d.token = p_token then
            -- This lease has already reported its result: a repeated request that arrives late.
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
        d := public.start_sending(d, p_token, p_sender_id);
    end if;
    return jsonb_build_object(
        'verdict', 'send', 'begun_before', d.claimed_by is distinct from p_token, 'mail', public.mail_parts(d));
end
$$;

-- Records the result of a sender: sent, failed, in_doubt, pending (certainly not sent, to be tried again) or sending (another
-- attempt with the same key will show it). A repetition changes nothing. A result that arrives after the sender was considered
-- lost still counts if it ends the doubt. p_bounce: the address accepts no mail. Returns false if the lease is not valid.
create function public.finish_sending(
    p_delivery_id uuid, p_token uuid, p_status text, p_reason text, p_provider_id text, p_bounce boolean
) returns boolean
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    d public.deliveries;
begin
    if p_status not in ('sent', 'failed', 'in_doubt', 'pending', 'sending') then
        raise exception '% is not a result of sending', p_status using errcode = 'invalid_parameter_value';
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
         where reader_id = d.reader_id and status in ('active', 'unconfirmed');
    end if;
    return true;
end
$$;

-- Stops readers whose address refused a mail or whose user complained. Returns the number of readers.
create function public.record_bounce(p_addresses text[], p_complaint boolean, p_reason text) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    stopped integer;
begin
    with there as materialized (
        select reader_id from public.readers
         where lower(email) in (select lower(each) from unnest(p_addresses) each)
           and (status in ('active', 'unconfirmed', 'paused') or (p_complaint and status = 'bounced'))
         order by owner, external_id for update)
    update public.readers r
       set status = case when p_complaint then 'unsubscribed' else 'bounced' end, status_reason = left(p_reason, 2000)
      from there where r.reader_id = there.reader_id;
    get diagnostics stopped = row_count;
    return stopped;
end
$$;

-- Keeps the reader of a delivery from being removed, before the delivery is locked: public.remove_reader() would not find a new
-- task.
create function public.keep_reader_of_delivery(p_delivery_id uuid) returns void
language sql security invoker set search_path = '' as $$
    select from public.readers r join public.deliveries d using (reader_id) where d.delivery_id = p_delivery_id for key share of r
$$;

-- Resolves a delivery for an admin: sets its status and deletes what the mail needed. Returns {resolved, delivery}; null if there
-- is none. The caller keeps its reader (public.keep_reader_of_delivery).
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

-- Skips the pending deliveries of a reader that are too late. A delivery whose row another transaction has locked is left alone.
create function public.skip_late_deliveries(p_reader uuid) returns void
language plpgsql security invoker set search_path = '' as $$
declare
    late uuid[] := array(
        select delivery_id from public.deliveries
         where reader_id = p_reader and kind = 'digest' and status = 'pending' and skip_after <= public.schedule_now()
         order by delivery_id for update skip locked);
begin
    if late <> '{}' and public.deliveries_paused() is null then
        update public.deliveries
           set status = 'skipped', reason = 'too late: the next one is due', ended_at = now()
         where delivery_id = any (late);
    end if;
end
$$;

-- Returns the keys of the items in a reader's mails that may still be sent: those of open deliveries, and of failed ones whose task
-- was replayed.
create function public.in_flight_keys(p_reader uuid) returns setof text
language sql stable security invoker set search_path = '' as $$
    select jsonb_array_elements_text(d.digest -> 'keys')
      from public.deliveries v join public.digests d on d.task_id = v.digest_id
     where v.reader_id = p_reader and v.kind = 'digest'
       and (v.status in ('pending', 'sending')
            or (v.status = 'failed'
                and exists (select from public.queue q where q.task_id = v.task_id and not q.dead_letter)))
$$;

-- Returns when the last digest was written that its reader was shown, or that had nothing to show; null if none was. A digest
-- that was written while an earlier mail was under way excluded the items of that mail; if that mail was not sent, the later
-- digest does not count. Deliveries and tasks that retention has removed are older than everything that a digest reads.
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

-- Returns the owners that have deliveries, with one index probe for each owner, as public.task_owners() does.
create function public.delivery_owners() returns setof text
language sql stable security invoker set search_path = '' as $$
    with recursive owners as (
        (select owner from public.deliveries order by owner limit 1)
        union all
        select (select d.owner from public.deliveries d where d.owner > o.owner order by d.owner limit 1)
          from owners o where o.owner is not null)
    select owner from owners where owner is not null
$$;

-- Lists deliveries, newest first, after a cursor (p_before, p_before_id): of one owner or all, of a status, of a reader. A reader
-- has few; all others come from an index in its order, from the cursor on, for each owner and status.
create function public.list_deliveries(
    p_owner text, p_status text, p_reader_id uuid, p_before timestamptz, p_before_id uuid, p_limit integer
) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
    cursor_at timestamptz := coalesce(p_before, 'infinity');
    cursor_id uuid := coalesce(p_before_id, '00000000-0000-0000-0000-000000000000'::uuid);
    owners text[];
    statuses text[] := case when p_status is not null then array[p_status]
                            else array['pending', 'sending', 'sent', 'failed', 'in_doubt', 'skipped'] end;
begin
    if p_reader_id is not null then
        return (
            select coalesce(jsonb_agg(to_jsonb(f) order by f.created_at desc, f.delivery_id desc), '[]')
              from (select * from public.deliveries d
                     where d.reader_id = p_reader_id and d.status = any (statuses) and (p_owner is null or d.owner = p_owner)
                       and (d.created_at, d.delivery_id) < (cursor_at, cursor_id)
                     order by d.created_at desc, d.delivery_id desc limit p_limit) f);
    end if;
    owners := case when p_owner is null then array(select public.delivery_owners()) else array[p_owner] end;
    return (
        select coalesce(jsonb_agg(to_jsonb(f) order by f.created_at desc, f.delivery_id desc), '[]')
          from (select n.*
                  from unnest(owners) as o(owner) cross join unnest(statuses) as s(status)
                 cross join lateral (
                    select * from public.deliveries d
                     where d.owner = o.owner and d.status = s.status and (d.created_at, d.delivery_id) < (cursor_at, cursor_id)
                     order by d.created_at desc, d.delivery_id desc limit p_limit) n
                 order by n.created_at desc, n.delivery_id desc limit p_limit) f);
end
$$;

-- Permissions.
revoke execute on function
    public.reason_to_skip, public.reason_for_doubt, public.mail_parts, public.start_sending, public.begin_sending,
    public.finish_sending, public.record_bounce, public.keep_reader_of_delivery, public.resolve_delivery,
    public.skip_late_deliveries, public.in_flight_keys, public.last_digest, public.delivery_owners, public.list_deliveries
    from public, anon, authenticated;
grant execute on function
    public.reason_to_skip, public.reason_for_doubt, public.mail_parts, public.start_sending, public.begin_sending,
    public.finish_sending, public.record_bounce, public.keep_reader_of_delivery, public.resolve_delivery,
    public.skip_late_deliveries, public.in_flight_keys, public.last_digest, public.delivery_owners, public.list_deliveries
    to service_role;
