-- What a sender knows takes the doubt away also from a mail that an admin had sent once more: its doubt is a new one, and an admin's
-- word on it ends it. Until now the earlier word kept every later one out, and the mail stayed in doubt.

-- As before, but for that; and planned as public.begin_sending() is.
create or replace function public.end_sending(
    p_delivery_id uuid, p_token uuid, p_state text, p_reason text, p_provider_id text, p_bounce boolean
) returns boolean
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
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
    elsif d.state <> 'sending' and not (d.state = 'ambiguous' and p_state in ('sent', 'failed')) then
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
