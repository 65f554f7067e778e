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

revoke execute on function public.begin_sending, public.reason_for_doubt from public, anon, authenticated;

grant execute on function public.begin_sending, public.reason_for_doubt to service_role;
