-- Keeps a reader for each user of Supabase Auth whose e-mail address is confirmed. Run it in the SQL editor; a second run replaces
-- it.
--
-- - A user gets a reader when the address is confirmed, at the sign-up or later. An unconfirmed address gets no mail.
-- - The reader follows a changed address once it is confirmed. A user without an address keeps the reader, who gets no mail.
-- - Auth accepts addresses to which no mail can be sent. Such a user gets a reader without an address.
-- - Deleting a user, or marking it as deleted, removes the reader.
-- - No sign-up and no change of an address fails because of the reader: the reason is a warning in the Postgres log. Only the
--   deletion of a user fails if the reader cannot be removed, because mails would continue. Delete the user again later.
create or replace function public.reader_of_user() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    candidate text;
begin
    if tg_op = 'DELETE' or new.deleted_at is not null then
        perform public.remove_reader(r.reader_id, null) from public.readers r where r.user_id = old.id;
        return null;
    end if;
    -- Auth also writes these columns at other times. Then an address that was set through the API stays.
    if tg_op = 'UPDATE' and new.email is not distinct from old.email
       and (old.email_confirmed_at is null) = (new.email_confirmed_at is null) then
        return null;
    end if;
    begin
        if coalesce(new.email, '') = '' then
            update public.readers set email = null where user_id = new.id and email is not null;
            return null;
        elsif new.email_confirmed_at is null then
            return null;
        end if;
        -- With the address, or without one if `readers` refuses it.
        foreach candidate in array array[new.email, null] loop
            begin
                insert into public.readers as r (user_id, name, email, timezone, send_at)
                values (new.id, coalesce(left(split_part(candidate, '@', 1), 100), 'Reader'), candidate, 'UTC', '07:00')
                on conflict (user_id) do update
                   set email = excluded.email,
                       -- Only a bounce belongs to the old address: unsubscribed and paused readers stay so.
                       status = case r.status when 'bounced' then 'active' else r.status end,
                       status_reason = case r.status when 'bounced' then null else r.status_reason end;
                return null;
            exception when check_violation then
                raise warning 'the reader of user % gets no mail because its address is invalid: %', new.id, sqlerrm;
            end;
        end loop;
    exception when others then
        raise warning 'the reader of user % was not saved: %', new.id, sqlerrm;
    end;
    return null;
end
$$;

revoke execute on function public.reader_of_user from public, anon, authenticated;

create or replace trigger reader_of_user
    after insert or delete or update of email, email_confirmed_at, deleted_at on auth.users
    for each row execute function public.reader_of_user();
