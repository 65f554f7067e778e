-- Readers: for whom digests are written by themselves, and what each of them may say about it.

-- What a user of Supabase Auth may write passes no code of ours: whatever such a column may hold is said here. These
-- functions answer that question alone, and whoever writes must be able to call them.

-- Something to read, and no more than p_most characters of it. Unicode's white space alone is nothing to read.
create function public.text_is_valid(p_text text, p_most integer) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select char_length(p_text) <= p_most
       and p_text ~ '[^\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]'
$$;

-- Absent, or a JSON list of at most p_most texts.
create function public.texts_are_valid(p_texts jsonb, p_most integer) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select case
        when p_texts is null then true
        when jsonb_typeof(p_texts) <> 'array' then false
        when jsonb_array_length(p_texts) > p_most then false
        else not exists (
            select from jsonb_array_elements(p_texts) e
             where jsonb_typeof(e) <> 'string' or not public.text_is_valid(e #>> '{}', 100))
    end
$$;

-- Absent, or a JSON number that counts the items of a digest.
create function public.count_is_valid(p_count jsonb) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select case
        when p_count is null then true
        when jsonb_typeof(p_count) <> 'number' then false
        else p_count::numeric between 0 and 50 and p_count::numeric = trunc(p_count::numeric)
    end
$$;

-- A reader's words, as app/persistence/readers.py reads them: `ReaderProfile`.
create function public.profile_is_valid(p_profile jsonb) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select case
        when jsonb_typeof(p_profile) <> 'object' then false
        when p_profile - array['title', 'goals', 'interests', 'exclude', 'authors', 'categories', 'max_papers', 'max_news']
             <> '{}' then false
        when not coalesce(jsonb_typeof(p_profile -> 'title') = 'string', not p_profile ? 'title') then false
        when not coalesce(jsonb_typeof(p_profile -> 'goals') = 'string', not p_profile ? 'goals') then false
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

-- Days of the week, Monday is 1: at least one, none twice.
create function public.weekdays_are_valid(p_weekdays smallint[]) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select coalesce(array_ndims(p_weekdays), 0) = 1 and p_weekdays <@ array[1, 2, 3, 4, 5, 6, 7]::smallint[]
       and cardinality(p_weekdays) = (select count(distinct d) from unnest(p_weekdays) d)
$$;

-- Whether mail can be sent to p_address: RFC 5322's dot-atom before the @, and a host name of at most 63 characters a label after it.
-- Everything is ASCII: a domain of another script is stored as xn--..., which SQL cannot compute. Null for null.
create function public.is_mail_address(p_address text) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select char_length(p_address) <= 254 and char_length(split_part(p_address, '@', 1)) <= 64
       and p_address ~ ('^[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+)*'
           || '@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$')
$$;

create table public.readers (
    reader_id        uuid primary key default gen_random_uuid(),
    owner            text not null default 'default' check (public.text_is_valid(owner, 100)),
    -- What the owner calls the reader: its id if nothing else.
    external_id      text not null check (external_id ~ '^[\x21-\x7e]{1,200}$'),
    -- Who that is in Supabase Auth, if anybody.
    user_id          uuid unique,
    name             text not null check (public.text_is_valid(name, 100)),
    -- Where mails go; null: nowhere, the digest is there to be read.
    email          text check (public.is_mail_address(email)),
    profile          jsonb not null default '{}' check (public.profile_is_valid(profile)),
    -- The schedule: a timezone and a time of day there, or neither; and the days of the week (Monday is 1).
    timezone             text,
    send_at          time check (send_at < '24:00' and extract(second from send_at) = 0),
    weekdays         smallint[] not null default '{1,2,3,4,5,6,7}' check (public.weekdays_are_valid(weekdays)),
    -- On a day that brings nothing new: a mail of one line that says so, or nothing.
    when_empty       text not null default 'skip' check (when_empty in ('notify', 'skip')),
    status           text not null default 'active' check (status in ('active', 'paused', 'unsubscribed', 'bounced')),
    status_reason    text check (char_length(status_reason) <= 2000),
    -- Set by public.schedule_reader() and public.enqueue_due() alone.
    next_due_at      timestamptz,
    schedule_problem text,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    overdue_day date,
    overdue_at timestamptz,
    unique (owner, external_id),
    constraint readers_timezone_and_time check ((timezone is null) = (send_at is null)),
    constraint readers_address_check check (public.is_mail_address(email)),
    constraint readers_overdue check ((overdue_day is null) = (overdue_at is null))
);

create index readers_listed on public.readers (owner, reader_id);

create index readers_by_email on public.readers (lower(email)) where email is not null;

-- What only the server may know of a reader.
create table public.readers_private (
    reader_id       uuid primary key references public.readers on delete cascade,
    -- Links of other generations than this count no longer.
    link_generation integer not null default 1 check (link_generation between 1 and 2000000000),
    welcome         boolean not null default false,
    new_items_since timestamptz
);

alter table public.readers enable row level security;

alter table public.readers_private enable row level security;

-- A user of Supabase Auth reads the own reader, and changes words and schedule. The column grants say which those are.
create policy own_reader_read on public.readers for select to authenticated
    using (user_id = (select auth.uid()));

create policy own_reader_change on public.readers for update to authenticated
    using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy own_digests_read on public.digests for select to authenticated
    using (reader_id in (select r.reader_id from public.readers r where r.user_id = (select auth.uid())));

-- The other half of a reader, which is there from the beginning, whoever makes the first.
create function public.create_private_row() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.readers_private (reader_id) values (new.reader_id);
    return null;
end
$$;

create trigger readers_private_row after insert on public.readers
    for each row execute function public.create_private_row();

-- Makes a reader, or finds the one that is there already under the same id or external_id; see public.upsert_readers().
create function public.upsert_reader(p_owner text, p_given jsonb, p_change boolean) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    known public.readers;
    wanted public.readers;
begin
    select * into known from public.readers
     where reader_id = (p_given ->> 'reader_id')::uuid and owner = p_owner for update;
    if known.reader_id is null then
        select * into known from public.readers
         where owner = p_owner and external_id = p_given ->> 'external_id' for update;
    end if;
    if known.reader_id is null then
        wanted := jsonb_populate_record(null::public.readers, p_given);
        insert into public.readers (
            reader_id, owner, external_id, user_id, name, email, profile, timezone, send_at, weekdays, when_empty, status,
            status_reason)
        values (
            wanted.reader_id, p_owner, wanted.external_id, wanted.user_id, wanted.name, wanted.email,
            coalesce(wanted.profile, '{}'), wanted.timezone, wanted.send_at, coalesce(wanted.weekdays, '{1,2,3,4,5,6,7}'),
            coalesce(wanted.when_empty, 'skip'), coalesce(wanted.status, 'active'), wanted.status_reason);
        if coalesce((p_given -> 'welcome')::boolean, false) then
            perform public.create_welcome(wanted.reader_id);
        end if;
        return jsonb_build_object('reader_id', wanted.reader_id, 'outcome', 'created');
    elsif not p_change then
        return jsonb_build_object(
            'reader_id', known.reader_id,
            'outcome', case when known.reader_id = (p_given ->> 'reader_id')::uuid then 'created' else 'existing' end);
    end if;
    wanted := jsonb_populate_record(known, p_given - array['reader_id', 'owner', 'status', 'status_reason']);
    if wanted is not distinct from known then
        return jsonb_build_object('reader_id', known.reader_id, 'outcome', 'unchanged');
    end if;
    update public.readers
       set user_id = wanted.user_id, name = wanted.name, email = wanted.email, profile = wanted.profile,
           timezone = wanted.timezone, send_at = wanted.send_at, weekdays = wanted.weekdays, when_empty = wanted.when_empty
     where reader_id = known.reader_id;
    return jsonb_build_object('reader_id', known.reader_id, 'outcome', 'changed');
end
$$;

-- As before, but readers are made and changed in the order of their external_id, and answered in the order given.
create function public.upsert_readers(p_owner text, p_readers jsonb, p_change boolean) returns jsonb
language plpgsql security invoker set search_path = '' set enable_seqscan = off set plan_cache_mode = auto as $$
declare
    given record;
    answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_readers)]);
    turn integer;
begin
    -- A user has one reader, whoever's: two calls may name the same users in another order than that of their readers' names. There
    -- may be more users than locks, so calls that name any come one behind the other.
    if exists (select from jsonb_array_elements(p_readers) e where e ->> 'user_id' is not null) then
        perform pg_advisory_xact_lock(hashtextextended('readers of users', 0));
    end if;
    -- Of a table without statistics every index that begins with the owner looks as good as the one that has all of a reader's name.
    -- So while there are none each reader is planned for anew, by as many as there are now, which takes twice as long.
    if (select reltuples < 0 from pg_catalog.pg_class where oid = 'public.readers'::regclass) then
        perform set_config('plan_cache_mode', 'force_custom_plan', true);
    end if;
    for given in
        select l.reader, l.place::integer as place
          from jsonb_array_elements(p_readers) with ordinality as l(reader, place)
         -- The name that the row has: public.upsert_reader() looks for the id first. What is no id is refused there.
         order by coalesce(
                      (select r.external_id from public.readers r
                        where r.owner = p_owner and r.reader_id = case
                            when l.reader ->> 'reader_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                            then (l.reader ->> 'reader_id')::uuid end),
                      l.reader ->> 'external_id', l.reader ->> 'reader_id'),
                  l.place
    loop
        turn := 0;
        loop
            begin
                answers[given.place] := public.upsert_reader(p_owner, given.reader, p_change);
                exit;
            exception
                -- Only what is wrong with this one; everything else ends the call. Another call may have made it just now.
                when data_exception or integrity_constraint_violation then
                    if sqlstate <> '23505' or turn > 0 then
                        answers[given.place] := jsonb_build_object('reader_id', null, 'outcome', 'refused', 'reason', sqlerrm);
                        exit;
                    end if;
                    turn := 1;
            end;
        end loop;
    end loop;
    return to_jsonb(answers);
end
$$;

-- As before, but deliveries are locked in the order of their ids, and what the reader was shown goes with the reader.
create function public.remove_reader(p_reader_id uuid, p_owner text) returns boolean
language plpgsql security invoker set search_path = '' as $$
begin
    perform 1 from public.readers where reader_id = p_reader_id and (p_owner is null or owner = p_owner) for update;
    if not found then
        return false;
    end if;
    -- Nobody makes a digest for it any more. One that is being ended may yet make a delivery: hence once more.
    loop
        with open as materialized (
            select q.task_id from public.queue q
             where q.task_id in (select t.task_id from public.tasks t where t.reader_id = p_reader_id)
             order by q.task_id for update)
        delete from public.queue q using open where q.task_id = open.task_id;
        exit when not found;
    end loop;
    -- Their digests go with them.
    with gone as materialized (
        select task_id from public.tasks where reader_id = p_reader_id order by task_id for update)
    delete from public.tasks t using gone where t.task_id = gone.task_id;
    with gone as materialized (
        select delivery_id from public.deliveries where reader_id = p_reader_id order by delivery_id for update)
    delete from public.deliveries d using gone where d.delivery_id = gone.delivery_id;
    delete from public.shown_items where reader_id = p_reader_id;
    delete from public.shown_digests where reader_id = p_reader_id;
    delete from public.readers where reader_id = p_reader_id;
    return true;
end
$$;

revoke all on public.readers, public.readers_private from public, anon, authenticated;

grant select, insert, update, delete on public.readers, public.readers_private to service_role;

grant usage on schema public to authenticated;

grant select on public.readers, public.digests to authenticated;

grant update (profile, timezone, send_at, weekdays, when_empty) on public.readers to authenticated;

revoke execute on function
    public.text_is_valid, public.texts_are_valid, public.count_is_valid, public.profile_is_valid, public.weekdays_are_valid,
    public.create_private_row, public.upsert_reader, public.upsert_readers, public.remove_reader
    from public, anon, authenticated;

grant execute on function
    public.text_is_valid, public.texts_are_valid, public.count_is_valid, public.profile_is_valid, public.weekdays_are_valid
    to authenticated, service_role;

grant execute on function public.create_private_row, public.upsert_reader, public.upsert_readers, public.remove_reader to service_role;

revoke execute on function public.is_mail_address from public, anon, authenticated;

-- Whoever writes a reader has its checks asked.
grant execute on function public.is_mail_address to authenticated, service_role;
