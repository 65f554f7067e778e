-- Digests, apart from their tasks, whose results stay small; and the archive, which readers search. A digest's page is not stored:
-- the API renders it from the document when somebody opens it.

create table public.digests (
    task_id     uuid        primary key,
    owner       text        not null,
    source_date date        not null,
    reader_id   uuid,                                   -- set, with local_day, if the reader's schedule created it
    local_day   date,
    digest      jsonb       not null,
    created_at  timestamptz not null default now(),
    -- For listings, of scheduled digests only:
    papers      integer,                                -- number of papers
    news        integer,                                -- number of news
    first_title text
);

create index digests_of_reader on public.digests (reader_id, local_day desc) where reader_id is not null;
create index digests_old on public.digests (created_at) where reader_id is not null;

-- One row for each item of a reader's digest.
create table public.archived_items (
    task_id   uuid     not null references public.digests on delete cascade,
    kind      text     not null check (kind in ('paper', 'news')),
    place     smallint not null,                        -- position among the digest's papers or news, from 0
    reader_id uuid     not null,
    local_day date     not null,
    title     text     not null,
    url       text,
    words     tsvector not null,                        -- of title, authors and summary, and the reader's search term: the
                                                        -- index then reads the matches of one reader only
    primary key (task_id, kind, place)
);

-- Every search reads the list of pending entries, so it is kept short.
create index archived_items_words on public.archived_items using gin (words) with (gin_pending_list_limit = 512);

alter table public.digests enable row level security;
alter table public.archived_items enable row level security;

-- Deletes the digests of tasks that are deleted, except readers' digests, which have a retention of their own.
create function public.delete_digests_of_tasks() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    delete from public.digests d using gone where d.task_id = gone.task_id and d.reader_id is null;
    return null;
end
$$;

create trigger tasks_delete_digests after delete on public.tasks
    referencing old table as gone for each statement
    execute function public.delete_digests_of_tasks();

-- Removes accents, so that "Schrodinger" finds Schrödinger.
create function public.unaccented(p_text text) returns text
language sql immutable security invoker set search_path = '' as $$
    select regexp_replace(normalize(p_text, NFKD), '[\u0300-\u036f]', '', 'g')
$$;

-- The term that marks a reader's items in the index.
create function public.reader_search_term(p_reader uuid) returns text
language sql immutable security invoker set search_path = '' as $$ select 'reader:' || p_reader $$;

-- Fills the columns for listings.
create function public.summarise_digest() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    new.papers := case when jsonb_typeof(new.digest -> 'papers') = 'array'
                       then jsonb_array_length(new.digest -> 'papers') else 0 end;
    new.news := case when jsonb_typeof(new.digest -> 'news') = 'array'
                     then jsonb_array_length(new.digest -> 'news') else 0 end;
    new.first_title := left(coalesce(
        new.digest #>> '{papers,0,article,title}', new.digest #>> '{news,0,article,title}'), 500);
    return new;
end
$$;

create trigger digests_summarise before insert or update of digest on public.digests
    for each row when (new.reader_id is not null and new.local_day is not null)
    execute function public.summarise_digest();

-- Adds a digest's items to the archive. Texts are cut before they are processed, so that no article can make the insert of its
-- digest fail.
create function public.archive_digest() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.archived_items (task_id, kind, place, reader_id, local_day, title, url, words)
    select new.task_id, l.kind, e.place - 1, new.reader_id, new.local_day,
           left(coalesce(e.item #>> '{article,title}', ''), 500), left(e.item #>> '{article,url}', 2000),
           to_tsvector('pg_catalog.english', case when t.is_ascii then t.whole else public.unaccented(t.whole) end)
           || array_to_tsvector(array[public.reader_search_term(new.reader_id)])
      from (values ('paper', new.digest -> 'papers'), ('news', new.digest -> 'news')) as l(kind, items)
     cross join lateral jsonb_array_elements(case when jsonb_typeof(l.items) = 'array' then l.items else '[]' end)
           with ordinality as e(item, place)
     cross join lateral (
        select w.whole, octet_length(w.whole) = char_length(w.whole) as is_ascii
          from (select concat_ws(
                    '. ', left(e.item #>> '{article,title}', 1000), left(e.item #>> '{article,authors}', 2000),
                    left(e.item ->> 'summary', 4000)) as whole) w) t
     where e.place <= 500
    on conflict do nothing;
    return null;
end
$$;

create trigger digests_archive after insert or update of digest on public.digests
    for each row when (new.reader_id is not null and new.local_day is not null)
    execute function public.archive_digest();

-- Searches a reader's digests, newest first: [{local_day, kind, place, title, url}]. p_text has the syntax of
-- websearch_to_tsquery ("a phrase", or, -without); no text is an error, and an empty one finds nothing.
create function public.search_digests(p_reader uuid, p_text text, p_limit integer) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
    query tsquery := websearch_to_tsquery('pg_catalog.english', public.unaccented(left(p_text, 500)));
    own_items tsquery := quote_literal(public.reader_search_term(p_reader))::tsquery;
begin
    if numnode(query) = 0 then
        return '[]';
    end if;
    return (
        select coalesce(jsonb_agg(to_jsonb(f) order by f.local_day desc, f.kind desc, f.place), '[]')
          from (select a.local_day, a.kind, a.place, a.title, a.url
                  from public.archived_items a
                 where a.words @@ (own_items && query) and a.reader_id = p_reader
                 order by a.local_day desc, a.kind desc, a.place
                 limit least(p_limit, 1000)) f);
end
$$;

-- Returns a reader's newest items as the digests have them, without abstracts: [{local_day, written_at, kind, place, item}].
-- Reads only the digests that contain them, out of the last 1,000.
create function public.newest_items(p_reader uuid, p_limit integer) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
    newest uuid[] := array(
        select c.task_id
          from (select d.task_id, d.papers + d.news as items,
                       sum(d.papers + d.news) over (order by d.local_day desc, d.task_id) as up_to_it
                  from (select task_id, local_day, papers, news from public.digests
                         where reader_id = p_reader and papers is not null
                         order by local_day desc, task_id limit 1000) d) c
         where c.items > 0 and c.up_to_it - c.items < p_limit);
begin
    return (
        select coalesce(jsonb_agg(to_jsonb(f) order by f.local_day desc, f.kind desc, f.place), '[]')
          from (select d.local_day, d.created_at as written_at, l.kind, e.place - 1 as place,
                       e.item #- '{article,abstract}' as item
                  from public.digests d
                 cross join lateral (values ('paper', d.digest -> 'papers'), ('news', d.digest -> 'news')) as l(kind, items)
                 cross join lateral jsonb_array_elements(case when jsonb_typeof(l.items) = 'array' then l.items else '[]' end)
                       with ordinality as e(item, place)
                 where d.task_id = any (newest)
                 order by d.local_day desc, l.kind desc, e.place
                 limit p_limit) f);
end
$$;

-- Permissions.
revoke all on public.digests, public.archived_items from public, anon, authenticated;
grant select, insert, update, delete on public.digests, public.archived_items to service_role;
revoke execute on function
    public.delete_digests_of_tasks, public.unaccented, public.reader_search_term, public.summarise_digest,
    public.archive_digest, public.search_digests, public.newest_items
    from public, anon, authenticated;
grant execute on function
    public.delete_digests_of_tasks, public.unaccented, public.reader_search_term, public.summarise_digest,
    public.archive_digest, public.search_digests, public.newest_items
    to service_role;
