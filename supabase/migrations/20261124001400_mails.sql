-- The keys of what stands in a reader's mails that may yet be sent: those under way, and those that failed and whose task was
-- replayed.
create function public.in_flight_keys(p_reader uuid) returns setof text
language sql stable security invoker set search_path = '' as $$
    select jsonb_array_elements_text(d.digest -> 'keys')
      from public.deliveries v join public.digests d on d.task_id = v.digest_id
     where v.reader_id = p_reader and v.kind = 'digest'
       and (v.status in ('pending', 'sending')
            or (v.status = 'failed'
                and exists (select from public.queue q where q.task_id = v.task_id and not q.dead_letter)))
$$;

-- Decides what is decided already: a mail that waits and is too late by now will not be sent. Whoever begins to send it at this
-- moment holds its row, and it stays undecided.
create function public.skip_late(p_reader uuid) returns void
language plpgsql security invoker set search_path = '' as $$
declare
    late uuid[] := array(
        select delivery_id from public.deliveries
         where reader_id = p_reader and kind = 'digest' and status = 'pending' and skip_after <= public.schedule_now()
         order by delivery_id for update skip locked);
begin
    if late <> '{}' and public.deliveries_paused() is null then
        update public.deliveries
           set status = 'skipped', reason = 'it came too late: the next one is due', ended_at = now()
         where delivery_id = any (late);
    end if;
end
$$;

revoke execute on function public.in_flight_keys, public.skip_late from public, anon, authenticated;

grant execute on function public.in_flight_keys, public.skip_late to service_role;
