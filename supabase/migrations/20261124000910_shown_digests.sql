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

-- Without a mail, a digest is shown by being there; one that holds nothing has nothing left to be shown. Its name puts the trigger
-- after `digests_deliver`, which makes the delivery.
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

revoke execute on function public.record_shown_digest, public.record_sent_digest, public.record_unsent_digest
    from public, anon, authenticated;

grant execute on function public.record_shown_digest, public.record_sent_digest, public.record_unsent_digest to service_role;
