create function public.take_digests_of_tasks() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    delete from public.digests d using gone where d.task_id = gone.task_id and d.reader_id is null;
    return null;
end
$$;

create trigger tasks_take_digests after delete on public.tasks
    referencing old table as gone for each statement
    execute function public.take_digests_of_tasks();

-- A trigger, not a foreign key, which would have the end of a digest wait for its reader's row.
create function public.take_digests_of_reader() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    delete from public.digests where reader_id = old.reader_id;
    return null;
end
$$;

create trigger readers_take_digests after delete on public.readers
    for each row execute function public.take_digests_of_reader();

create index digests_old on public.digests (created_at) where reader_id is not null;

-- One row for each item of a reader's digest: what a search finds.
create table public.archived_items (
    task_id   uuid not null references public.digests on delete cascade,
    kind      text not null check (kind in ('paper', 'news')),
    -- Its place among the digest's papers, or news; the first has 0.
    place     smallint not null,
    reader_id uuid not null,
    local_day date not null,
    title     text not null,
    url       text,
    -- The words of title, authors and summary; and whose it is, as one more word: the index finds what is one reader's and
    -- has these words, however much others have of either.
    words     tsvector not null,
    primary key (task_id, kind, place)
);

-- New entries wait in a list, which every search reads: a short one.
create index archived_items_words on public.archived_items using gin (words) with (gin_pending_list_limit = 512);

alter table public.archived_items enable row level security;

-- A text without its accents, so that "Schrodinger" finds Schrödinger.
create function public.unaccented(p_text text) returns text
language sql immutable security invoker set search_path = '' as $$
    select regexp_replace(normalize(p_text, NFKD), '[\u0300-\u036f]', '', 'g')
$$;

create function public.reader_feedback(p_reader uuid) returns text
language sql immutable security invoker set search_path = '' as $$ select 'reader:' || p_reader $$;

create function public.summarise_digest() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    new.papers := case when jsonb_typeof(new.digest -> 'papers') = 'array' then jsonb_array_length(new.digest -> 'papers') else 0 end;
    new.news := case when jsonb_typeof(new.digest -> 'news') = 'array' then jsonb_array_length(new.digest -> 'news') else 0 end;
    new.first_title := left(coalesce(
        new.digest #>> '{papers,0,article,title}', new.digest #>> '{news,0,article,title}'), 500);
    return new;
end
$$;

-- Cut to size before they are taken apart: nothing that an article says may keep its digest from being written.
create function public.archive_digest() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.archived_items (task_id, kind, place, reader_id, local_day, title, url, words)
    select new.task_id, l.kind, e.place - 1, new.reader_id, new.local_day,
           left(coalesce(e.item #>> '{article,title}', ''), 500), left(e.item #>> '{article,url}', 2000),
           to_tsvector('pg_catalog.english', case when t.is_ascii then t.whole else public.unaccented(t.whole) end)
           || array_to_tsvector(array[public.reader_feedback(new.reader_id)])
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

create trigger digests_summarise before insert or update of digest on public.digests
    for each row when (new.reader_id is not null and new.local_day is not null)
    execute function public.summarise_digest();

create trigger digests_archive after insert or update of digest on public.digests
    for each row when (new.reader_id is not null and new.local_day is not null)
    execute function public.archive_digest();

-- The items of a reader's digests that have these words, the newest first: [{local_day, kind, place, title, url}]. What is typed
-- is read as people type it (websearch_to_tsquery: "a phrase", or, -without), and nothing in it is an error; no words find
-- nothing.
create function public.search_digests(p_reader uuid, p_text text, p_limit integer) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
    asked tsquery := websearch_to_tsquery('pg_catalog.english', public.unaccented(left(p_text, 500)));
    theirs tsquery := quote_literal(public.reader_feedback(p_reader))::tsquery;
begin
    if numnode(asked) = 0 then
        return '[]';
    end if;
    return (
        select coalesce(jsonb_agg(to_jsonb(f) order by f.local_day desc, f.kind desc, f.place), '[]')
          from (select a.local_day, a.kind, a.place, a.title, a.url
                  from public.archived_items a
                 where a.words @@ (theirs && asked) and a.reader_id = p_reader
                 order by a.local_day desc, a.kind desc, a.place
                 limit least(p_limit, 1000)) f);
end
$$;

-- A reader's newest items, as their digests have them but for the abstracts: [{local_day, written_at, kind, place, item}]. Only
-- the digests that hold them are read, of the last 1,000 at most.
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

-- Removes readers' digests that were written longer ago than they are to be kept, p_batch at most; answers how many.
create function public.retain_digests(p_days integer, p_batch integer) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    gone integer;
begin
    with old as materialized (
        select task_id from public.digests
         where reader_id is not null and created_at < now() - make_interval(days => p_days)
         order by created_at limit p_batch for update skip locked)
    delete from public.digests d using old where d.task_id = old.task_id;
    get diagnostics gone = row_count;
    return gone;
end
$$;

revoke all on public.archived_items from public, anon, authenticated;

grant select, insert, update, delete on public.archived_items to service_role;

revoke execute on function
    public.take_digests_of_tasks, public.take_digests_of_reader, public.unaccented, public.reader_feedback,
    public.summarise_digest, public.archive_digest, public.search_digests, public.newest_items, public.retain_digests
    from public, anon, authenticated;

grant execute on function
    public.take_digests_of_tasks, public.take_digests_of_reader, public.unaccented, public.reader_feedback,
    public.summarise_digest, public.archive_digest, public.search_digests, public.newest_items, public.retain_digests
    to service_role;
