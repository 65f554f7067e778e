-- Readers: the people who receive digests, their profile and schedule.

-- Users of Supabase Auth write some columns directly, so the database checks their values. The roles that write must be able to
-- execute these functions.

-- True for a text of at most p_max_length characters with something besides Unicode white space.
create function public.text_is_valid(p_text text, p_max_length integer) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select char_length(p_text) <= p_max_length
       and p_text ~ '[^\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]'
$$;

-- True for null, or a JSON array of at most p_max_length texts.
create function public.texts_are_valid(p_texts jsonb, p_max_length integer) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select case
        when p_texts is null then true
        when jsonb_typeof(p_texts) <> 'array' then false
        when jsonb_array_length(p_texts) > p_max_length then false
        else not exists (
            select from jsonb_array_elements(p_texts) e
             where jsonb_typeof(e) <> 'string' or not public.text_is_valid(e #>> '{}', 100))
    end
$$;

-- True for null, or a JSON number of items in a digest.
create function public.count_is_valid(p_count jsonb) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select case
        when p_count is null then true
        when jsonb_typeof(p_count) <> 'number' then false
        else p_count::numeric between 0 and 50 and p_count::numeric = trunc(p_count::numeric)
    end
$$;

-- True for a profile as app/persistence/readers.py defines it (`ReaderProfile`).
create function public.profile_is_valid(p_profile jsonb) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select case
        when jsonb_typeof(p_profile) <> 'object' then false
        when p_profile - array[
            'title', 'goals', 'interests', 'exclude', 'authors', 'categories', 'language', 'max_papers', 'max_news']
             <> '{}' then false
        when not coalesce(jsonb_typeof(p_profile -> 'title') = 'string', not p_profile ? 'title') then false
        when not coalesce(jsonb_typeof(p_profile -> 'goals') = 'string', not p_profile ? 'goals') then false
        when not coalesce(jsonb_typeof(p_profile -> 'language') = 'string', not p_profile ? 'language') then false
        -- A language, a script and a region of BCP 47, and nothing else: the tag is part of prompts.
        when p_profile ->> 'language' !~ '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$' then false
        when char_length(p_profile ->> 'title') > 200 or char_length(p_profile ->> 'goals') > 2000 then false
        when not public.texts_are_valid(p_profile -> 'interests', 30) then false
        when not public.texts_are_valid(p_profile -> 'exclude', 30) then false
        when not public.texts_are_valid(p_profile -> 'authors', 50) then false
        when not public.texts_are_valid(p_profile -> 'categories', 20) then false
        when not public.count_is_valid(p_profile -> 'max_papers') then false
        when not public.count_is_valid(p_profile -> 'max_news') then false
        else not exists (
            select from jsonb_array_elements_text(coalesce(p_profile -> 'categories', '[]')) as c(category)
             where category !~ '^[a-z-]{2,12}(\.[A-Za-z-]{2,20})?$')
    end
$$;

-- True for days of the week (Monday is 1): at least one, none twice.
create function public.weekdays_are_valid(p_weekdays smallint[]) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select coalesce(array_ndims(p_weekdays), 0) = 1 and p_weekdays <@ array[1, 2, 3, 4, 5, 6, 7]::smallint[]
       and cardinality(p_weekdays) = (select count(distinct d) from unnest(p_weekdays) d)
$$;

-- True for an address to which mail can be sent: a dot-atom of RFC 5322 before the @, and a host name with labels of at most 63
-- characters after it. All ASCII: a domain in another script is stored as xn--... Null for null.
create function public.is_mail_address(p_address text) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select char_length(p_address) <= 254 and char_length(split_part(p_address, '@', 1)) <= 64
       and p_address ~ ('^[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+)*'
           || '@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$')
$$;

create table public.readers (
    reader_id        uuid        primary key default gen_random_uuid(),
    owner            text        not null default 'default' check (public.text_is_valid(owner, 100)),
    external_id      text        not null check (external_id ~ '^[\x21-\x7e]{1,200}$'), -- the owner's id; default: reader_id
    user_id          uuid        unique,                -- the user in Supabase Auth, if any
    name             text        not null check (public.text_is_valid(name, 100)),
    email            text,                              -- null: no mails, the digest can only be read online
    profile          jsonb       not null default '{}' check (public.profile_is_valid(profile)),
    -- The schedule: a time zone and a time of day in it, or neither; and the days of the week (Monday is 1).
    timezone         text,
    send_at          time        check (send_at < '24:00' and extract(second from send_at) = 0),
    weekdays         smallint[]  not null default '{1,2,3,4,5,6,7}' check (public.weekdays_are_valid(weekdays)),
    when_empty       text        not null default 'skip' check (when_empty in ('notify', 'skip')), -- if nothing is new
    status           text        not null default 'active' check (
                                     status in ('active', 'unconfirmed', 'paused', 'unsubscribed', 'bounced')),
    status_reason    text        check (char_length(status_reason) <= 2000),
    -- Written only by public.schedule_reader() and public.enqueue_due():
    next_due_at      timestamptz,
    schedule_problem text,
    overdue_day      date,                              -- a day that was due before the schedule changed
    overdue_at       timestamptz,
    enqueued_at      timestamptz,                       -- when the last digest was ordered, by public.schedule_now()
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    -- Look-ups hide the owner from other indexes (`is not distinct from`): if the statistics do not have the owner, the planner
    -- expects one row from each index that begins with it, and may read all readers of the owner to find one.
    unique (external_id, owner),
    constraint readers_timezone_and_time check ((timezone is null) = (send_at is null)),
    constraint readers_email_check check (public.is_mail_address(email)),
    constraint readers_unconfirmed_email check (status <> 'unconfirmed' or email is not null),
    constraint readers_overdue check ((overdue_day is null) = (overdue_at is null))
);

create index readers_listed on public.readers (owner, reader_id);
create index readers_by_status on public.readers (status, reader_id);
create index readers_by_email on public.readers (lower(email)) where email is not null;
create index readers_due on public.readers (least(next_due_at, overdue_at), reader_id)
    where least(next_due_at, overdue_at) is not null;

-- The columns that the reader's own user must not see or change.
create table public.readers_private (
    reader_id       uuid        primary key references public.readers on delete cascade,
    link_generation integer     not null default 1 check (link_generation between 1 and 2000000000), -- links of others are invalid
    new_items_since timestamptz,                        -- where the first digest began, until one was shown
    file_values     jsonb,                              -- the values that the readers file had for it; null: it was in none
    erase_requested_at timestamptz,                     -- when the reader deleted their data (public.erase_reader)
    file_library    jsonb,                              -- the library that the readers file had for it, with a digest of its key
    library_key     text        check (library_key ~ '^[A-Za-z0-9]{8,64}$'), -- the key of the connected library
    key_check       uuid,                               -- the last check of a key of a library, and when it began
    key_checked_at  timestamptz
);

create index readers_to_erase on public.readers_private (reader_id) where erase_requested_at is not null;

alter table public.readers enable row level security;
alter table public.readers_private enable row level security;

-- A user of Supabase Auth reads the own reader and digests, and changes profile and schedule (see the column grants).
create policy own_reader_read on public.readers for select to authenticated
    using (user_id = (select auth.uid()));

create policy own_reader_change on public.readers for update to authenticated
    using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy own_digests_read on public.digests for select to authenticated
    using (reader_id in (select r.reader_id from public.readers r where r.user_id = (select auth.uid())));

-- Creates the private row of every new reader.
create function public.create_private_row() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.readers_private (reader_id) values (new.reader_id);
    return null;
end
$$;

create trigger readers_private_row after insert on public.readers
    for each row execute function public.create_private_row();

-- Computes when the reader is due next. A day that was due under the previous schedule is kept as overdue.
create function public.schedule_reader() returns trigger
language plpgsql security invoker set search_path = '' as $$
declare
    clock timestamptz := public.schedule_now();
begin
    if new.timezone is not null and (tg_op = 'INSERT' or new.timezone is distinct from old.timezone)
       and not public.timezone_is_known(new.timezone) then
        raise exception '% is not a time zone such as Europe/Berlin', left(quote_literal(new.timezone), 100)
            using errcode = 'check_violation', constraint = 'readers_timezone_check';
    end if;
    new.external_id := coalesce(new.external_id, new.reader_id::text);
    new.updated_at := now();
    if tg_op = 'UPDATE' and old.schedule_problem is null
       and (new.status, new.timezone, new.send_at, new.weekdays) is not distinct from
           (old.status, old.timezone, old.send_at, old.weekdays) then
        return new;
    end if;
    if tg_op = 'UPDATE' and old.next_due_at <= clock then
        select coalesce(o.day, old.overdue_day), coalesce(o.moment, old.overdue_at) into new.overdue_day, new.overdue_at
          from public.latest_occurrence(
            case when public.timezone_is_known(old.timezone) then old.timezone end, old.send_at, old.weekdays,
            old.next_due_at, clock) o;
    end if;
    new.schedule_problem := null;
    new.next_due_at := null;
    if new.status = 'active' and new.timezone is not null then
        new.next_due_at := public.next_occurrence(
            case when public.timezone_is_known(new.timezone) then new.timezone end, new.send_at, new.weekdays, clock);
        new.schedule_problem := case when new.next_due_at is null then public.timezone_problem(new.timezone) end;
    end if;
    return new;
end
$$;

create trigger readers_schedule
    before insert or update of
        external_id, user_id, name, email, profile, timezone, send_at, weekdays, when_empty, status, status_reason
    on public.readers
    for each row execute function public.schedule_reader();

-- Deletes the digests of a deleted reader. A trigger instead of a foreign key: inserting a digest must not wait for the reader's
-- row.
create function public.delete_digests_of_reader() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    delete from public.digests where reader_id = old.reader_id;
    return null;
end
$$;

create trigger readers_delete_digests after delete on public.readers
    for each row execute function public.delete_digests_of_reader();

-- Permissions.
grant usage on schema public to authenticated;
revoke all on public.readers, public.readers_private from public, anon, authenticated;
grant select, insert, update, delete on public.readers, public.readers_private to service_role;
grant select on public.readers, public.digests to authenticated;
grant update (profile, timezone, send_at, weekdays, when_empty) on public.readers to authenticated;
revoke execute on function
    public.text_is_valid, public.texts_are_valid, public.count_is_valid, public.profile_is_valid,
    public.weekdays_are_valid, public.is_mail_address, public.create_private_row, public.schedule_reader,
    public.delete_digests_of_reader
    from public, anon, authenticated;
-- Checks and triggers of a user's own changes execute these.
grant execute on function
    public.text_is_valid, public.texts_are_valid, public.count_is_valid, public.profile_is_valid,
    public.weekdays_are_valid, public.is_mail_address
    to authenticated, service_role;
grant execute on function
    public.create_private_row, public.schedule_reader, public.delete_digests_of_reader
    to service_role;
