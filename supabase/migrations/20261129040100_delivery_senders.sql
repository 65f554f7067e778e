-- A delivery records which sender began it and why its last attempt did not decide it, and forgets whom it went to once it has ended.

create or replace function public.schema_version() returns integer
language sql immutable security invoker set search_path = '' as $$ select 7 $$;

-- The account that began the attempts which may have sent it, as a digest of its key (`MailSender.sender_id`). Another account does not
-- know the provider's key of this mail, and would send it a second time.
alter table public.deliveries add column sender_id text;

-- Names and addresses are kept for as long as the same mail may have to be written again, or looked for at the provider.
update public.deliveries set envelope = null where envelope is not null and state not in ('sending', 'ambiguous');
alter table public.deliveries
    add constraint deliveries_envelope_while_needed check (envelope is null or state in ('sending', 'ambiguous'));

-- Why a delivery in `sending` cannot be sent again by another lease, so that it is in doubt; null where it can: its provider knows the key
-- for p_repeatable_seconds, the same account asks, and nothing speaks against sending it.
create function public.reason_for_doubt(
    p_delivery public.deliveries, p_repeatable_seconds double precision, p_sender_id text, p_skip text, p_paused text
) returns text
language sql stable security invoker set search_path = '' as $$
    select coalesce(p_delivery.reason, 'its sender was lost while it sent') || doubt.why
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

drop function public.begin_sending(uuid, uuid, double precision);

-- Asks to send a delivery under the lease of its task. {"verdict": ...} is
--   send     with all that the mail is made of, and whether an earlier attempt may have sent it (begun_before). The same
--            token again is the same sender, whose answer was lost.
--   stop     it has ended, with {state, reason}: there is nothing to do. A sender that was lost while sending leaves `ambiguous`;
--            with p_repeatable_seconds (a provider that knows its key for so long) the sender that began it sends it again instead.
--   paused   not now, with {reason}.
--   lost     the lease is not, or no longer, what it takes.
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
    if d.state = 'sending' and d.token = p_token then
        return jsonb_build_object(
            'verdict', 'send', 'begun_before', d.begun_by is distinct from p_token, 'mail', public.mail_parts(d));
    end if;
    paused := public.deliveries_paused();
    skip := public.reason_to_skip(d);
    if d.state = 'sending' then
        doubt := public.reason_for_doubt(d, p_repeatable_seconds, p_sender_id, skip, paused);
        if doubt is not null then
            update public.deliveries set state = 'ambiguous', reason = doubt, ended_at = now()
             where delivery_id = p_delivery_id
            returning * into d;
        end if;
    elsif d.state in ('pending', 'failed') and d.token = p_token then
        -- This lease has said already what became of it: a late repetition of its question.
        return jsonb_build_object('verdict', 'lost');
    elsif d.state = 'failed' and not exists (
        select from public.tasks t where t.task_id = d.task_id and t.replayed_at > d.ended_at)
    then
        return jsonb_build_object('verdict', 'stop', 'state', d.state, 'reason', d.reason);
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
           begun_by = case when d.state = 'sending' then begun_by else p_token end,
           -- The same one, if it repeats: no other may.
           sender_id = p_sender_id,
           envelope = coalesce(envelope, (
               select jsonb_build_object('name', r.name, 'address', r.address, 'link_generation', p.link_generation)
                 from public.readers r join public.readers_private p using (reader_id) where r.reader_id = d.reader_id))
     where delivery_id = p_delivery_id
    returning * into d;
    return jsonb_build_object(
        'verdict', 'send', 'begun_before', d.begun_by is distinct from p_token, 'mail', public.mail_parts(d));
end
$$;

-- What became of a sending, by its holder alone: sent, failed, ambiguous, pending where surely nothing was sent and it is to be tried
-- again, or sending where another attempt under the same key will tell. Said again, it counts as said; said after others took the
-- holder for lost, it still counts where it takes the doubt away. p_bounce: nothing is to go to this address any more. False: not the
-- holder's to say.
create or replace function public.end_sending(
    p_delivery_id uuid, p_token uuid, p_state text, p_reason text, p_provider_id text, p_bounce boolean
) returns boolean
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    d public.deliveries;
begin
    if p_state not in ('sent', 'failed', 'ambiguous', 'pending', 'sending') then
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
    elsif d.state = p_state and p_state <> 'sending' then
        return true;
    elsif d.state <> 'sending' and not (d.state = 'ambiguous' and p_state in ('sent', 'failed')) then
        return false;
    end if;
    update public.deliveries
       set state = p_state, reason = p_reason, provider_id = coalesce(p_provider_id, provider_id),
           envelope = case when p_state in ('sending', 'ambiguous') then envelope end,
           begun_at = case when p_state <> 'pending' then begun_at end,
           ended_at = case when p_state not in ('pending', 'sending') then now() end
     where delivery_id = p_delivery_id;
    if p_bounce then
        update public.readers set status = 'bounced', status_reason = left(p_reason, 2000)
         where reader_id = d.reader_id and status = 'active';
    end if;
    return true;
end
$$;

-- As before, but what the mail needed is deleted: an admin's word ends the doubt.
create or replace function public.settle_delivery(p_delivery_id uuid, p_state text, p_by text) returns jsonb
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
               envelope = null,
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

-- Whatever its task ends with, a delivery does not stay open: what was being sent then is in doubt, and says what its last attempt met.
create or replace function public.close_delivery() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    update public.deliveries
       set state = case when state = 'sending' then 'ambiguous' when new.status = 'cancelled' then 'skipped' else 'failed' end,
           reason = case
               when state <> 'sending' then coalesce(new.error, 'its task was ' || new.status)
               when reason is not null then reason
               when new.error like 'worker lost%' then 'its sender was lost while it sent'
               else coalesce(new.error, 'its task was ' || new.status || ' while it sent')
           end,
           ended_at = now()
     where task_id = new.task_id and state in ('pending', 'sending');
    return null;
end
$$;

revoke execute on function public.begin_sending, public.reason_for_doubt from public, anon, authenticated;
grant execute on function public.begin_sending, public.reason_for_doubt to service_role;
