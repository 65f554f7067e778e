-- A paper is here for as long as something is said of it. What only its arXiv id or DOI was given of has no title yet.
create table public.reader_papers (
    paper_id     uuid primary key default gen_random_uuid(),
    reader_id    uuid not null references public.readers on delete cascade,
    kind         text not null check (kind in ('paper', 'news')),
    title        text check (char_length(title) between 1 and 300),
    abstract     text not null check (char_length(abstract) <= 6000),
    authors      text[] not null check (cardinality(authors) <= 100),
    url          text check (char_length(url) <= 2000),
    published_at timestamptz,
    arxiv_id     text check (char_length(arxiv_id) between 1 and 100),
    doi          text check (char_length(doi) between 1 and 300),
    -- The source that it came from, as articles have it; or `manual`, by whoever looks after the reader.
    origin       text not null check (char_length(origin) between 1 and 200),
    -- Its words, as app/ranking/vectors.py writes them; '' while there are none.
    vector       text not null check (char_length(vector) <= 4000),
    liked        boolean,
    rated_at     timestamptz,
    saved_at     timestamptz,
    -- When arXiv was asked for it, and answered: once.
    asked_at     timestamptz,
    created_at   timestamptz not null default clock_timestamp(),
    constraint reader_papers_rating check ((liked is null) = (rated_at is null)),
    constraint reader_papers_something_is_said check (liked is not null or saved_at is not null)
);

-- As app/persistence/item_keys.py writes them.
create table public.reader_paper_keys (
    reader_id uuid not null,
    key       text not null check (length(key) between 1 and 300),
    paper_id  uuid not null references public.reader_papers on delete cascade,
    primary key (reader_id, key)
);

create index reader_papers_listed on public.reader_papers (reader_id, created_at desc, paper_id desc);

create index reader_papers_rated on public.reader_papers (reader_id, rated_at desc, paper_id) where liked is not null;

create index reader_papers_to_look_up on public.reader_papers (arxiv_id)
    where arxiv_id is not null and abstract = '' and asked_at is null;

create index reader_paper_keys_of_paper on public.reader_paper_keys (paper_id);

alter table public.reader_papers enable row level security;

alter table public.reader_paper_keys enable row level security;

create policy own_papers_read on public.reader_papers for select to authenticated
    using (reader_id in (select r.reader_id from public.readers r where r.user_id = (select auth.uid())));

-- All names of what goes by these, which come strongest first: that item's own are added. Two arXiv ids are two papers,
-- whatever else they share.
create function public.item_names(p_keys text[]) returns text[]
language plpgsql stable security invoker set search_path = '' as $$
declare
    arxiv text := (select k from unnest(p_keys) as k where k like 'arxiv:%' limit 1);
    item uuid := (
        select named.item_id
          from unnest(p_keys) with ordinality as given(key, place) join public.item_keys named using (key)
         where not exists (
            select from public.item_keys other
             where other.item_id = named.item_id and other.key like 'arxiv:%' and other.key <> arxiv)
         order by given.place limit 1);
begin
    return p_keys || array(
        select k.key from public.item_keys k where k.item_id = item and k.key <> all (p_keys) order by k.key);
end
$$;

-- The reader's papers that go by any of these names, the strongest first: they are one, though nobody knew it before.
create function public.reader_papers_named(p_reader uuid, p_names text[]) returns uuid[]
language plpgsql stable security invoker set search_path = '' as $$
declare
    arxiv text := (select substr(n, 7) from unnest(p_names) as n where n like 'arxiv:%' limit 1);
    papers uuid[] := '{}';
    known record;
begin
    for known in
        select p.paper_id, lower(p.arxiv_id) as arxiv
          from unnest(p_names) with ordinality as given(key, place)
          join public.reader_paper_keys k on k.reader_id = p_reader and k.key = given.key
          join public.reader_papers p using (paper_id)
         order by given.place
    loop
        continue when known.paper_id = any (papers) or known.arxiv <> arxiv;
        papers := papers || known.paper_id;
        arxiv := coalesce(arxiv, known.arxiv);
    end loop;
    return papers;
end
$$;

-- Makes p_other part of p_kept: what was said last counts, and what was saved stays saved. Only with the reader's lock.
create function public.merge_reader_papers(p_kept uuid, p_other uuid) returns void
language plpgsql security invoker set search_path = '' as $$
declare
    other public.reader_papers;
begin
    update public.reader_paper_keys set paper_id = p_kept where paper_id = p_other;
    delete from public.reader_papers where paper_id = p_other returning * into other;
    update public.reader_papers p
       set (kind, title, abstract, authors, url, published_at, vector) = (
               select b.kind, b.title, b.abstract, b.authors, b.url, b.published_at, b.vector
                 from (select p.kind, p.title, p.abstract, p.authors, p.url, p.published_at, p.vector, 1 as place
                       union all
                       select other.kind, other.title, other.abstract, other.authors, other.url, other.published_at,
                              other.vector, 2) b
                order by b.abstract <> '' desc, b.title is not null desc, b.place limit 1),
           arxiv_id = coalesce(p.arxiv_id, other.arxiv_id),
           doi = coalesce(p.doi, other.doi),
           liked = case when other.rated_at >= p.rated_at or p.rated_at is null then other.liked else p.liked end,
           rated_at = greatest(p.rated_at, other.rated_at),
           saved_at = least(p.saved_at, other.saved_at),
           asked_at = greatest(p.asked_at, other.asked_at),
           created_at = least(p.created_at, other.created_at)
     where p.paper_id = p_kept;
end
$$;

-- Notes what a reader says of a paper: {paper_id} or {keys, and what is known of it}, and what is said: `liked` (true, false,
-- null: nothing any more) and `saved`; what is left out stays. Answers the paper's id; null: nothing is said of it now.
-- Again changes nothing. Only with the reader's lock.
create function public.upsert_reader_paper(p_reader uuid, p_given jsonb) returns uuid
language plpgsql security invoker set search_path = '' as $$
declare
    given public.reader_papers := jsonb_populate_record(null::public.reader_papers, p_given);
    names text[] := public.item_names(array(select jsonb_array_elements_text(p_given -> 'keys')));
    papers uuid[] := public.reader_papers_named(p_reader, names);
    known public.reader_papers;
    other uuid;
begin
    if given.paper_id is not null then
        papers := array(select paper_id from public.reader_papers where paper_id = given.paper_id and reader_id = p_reader);
    end if;
    foreach other in array papers[2:] loop
        perform public.merge_reader_papers(papers[1], other);
    end loop;
    select * into known from public.reader_papers where paper_id = papers[1];

    given.liked := case when p_given ? 'liked' then given.liked else known.liked end;
    given.rated_at := case when given.liked = known.liked then known.rated_at when given.liked is not null then now() end;
    given.saved_at := case when not p_given ? 'saved' then known.saved_at
                           when (p_given -> 'saved')::boolean then coalesce(known.saved_at, now()) end;
    if given.liked is null and given.saved_at is null then
        delete from public.reader_papers where paper_id = known.paper_id;
        return null;
    elsif known.paper_id is not null then
        update public.reader_papers
           set liked = given.liked, rated_at = given.rated_at, saved_at = given.saved_at,
               arxiv_id = coalesce(arxiv_id, given.arxiv_id), doi = coalesce(doi, given.doi)
         where paper_id = known.paper_id;
        if known.abstract = '' and (given.abstract <> '' or known.title is null) and given.title is not null then
            update public.reader_papers
               set title = given.title, abstract = given.abstract, authors = given.authors, vector = given.vector,
                   kind = given.kind, url = coalesce(given.url, url), published_at = coalesce(given.published_at, published_at)
             where paper_id = known.paper_id;
        end if;
    elsif given.paper_id is null then
        insert into public.reader_papers (
            reader_id, kind, title, abstract, authors, url, published_at, arxiv_id, doi, origin, vector, liked, rated_at,
            saved_at)
        values (
            p_reader, given.kind, given.title, given.abstract, given.authors, given.url, given.published_at, given.arxiv_id,
            given.doi, given.origin, given.vector, given.liked, given.rated_at, given.saved_at)
        returning paper_id into known.paper_id;
    end if;
    insert into public.reader_paper_keys (reader_id, key, paper_id)
    select p_reader, n, known.paper_id from unnest(names) as n where known.paper_id is not null
    on conflict do nothing;
    return known.paper_id;
end
$$;

-- Notes what a reader says of papers, all or nothing: answers their ids in order (see public.upsert_reader_paper()), or null if
-- there is no such reader. A reader's sayings come one behind the other, and none after its removal.
create function public.upsert_reader_papers(p_reader uuid, p_papers jsonb) returns jsonb
language plpgsql security invoker set search_path = ''
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    most constant integer := 2000;
    given jsonb;
    ids jsonb := '[]';
    kept integer;
begin
    perform 1 from public.readers where reader_id = p_reader for no key update;
    if not found then
        return null;
    end if;
    for given in select e from jsonb_array_elements(p_papers) with ordinality as l(e, place) order by place loop
        ids := ids || jsonb_build_array(public.upsert_reader_paper(p_reader, given));
    end loop;
    select count(*) into kept from public.reader_papers where reader_id = p_reader;
    if kept > most then
        raise exception 'a reader keeps % papers at most, and these would make it %: remove some first', most, kept
            using errcode = 'raise_exception';
    end if;
    return ids;
end
$$;

-- What a reader says of items, each given by its keys (strongest first), in their order: [{paper_id, liked, saved}].
create function public.paper_feedback(p_reader uuid, p_items jsonb) returns jsonb
language sql stable security invoker set search_path = ''
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select coalesce(jsonb_agg(jsonb_build_object(
               'paper_id', p.paper_id, 'liked', p.liked, 'saved', p.saved_at is not null) order by given.place), '[]')
      from jsonb_array_elements(p_items) with ordinality as given(keys, place)
      left join public.reader_papers p on p.paper_id = (
        public.reader_papers_named(p_reader, public.item_names(array(select jsonb_array_elements_text(given.keys)))))[1]
$$;

-- A reader's papers, newest first, or those that were saved, last saved first; behind the last of the page before.
create function public.list_reader_papers(
    p_reader uuid, p_saved boolean, p_before timestamptz, p_before_id uuid, p_limit integer
) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(l) - array['moment', 'vector'] order by l.moment desc, l.paper_id desc), '[]')
      from (select p.*, m.moment
              from public.reader_papers p
             cross join lateral (select case when p_saved then p.saved_at else p.created_at end as moment) m
             where p.reader_id = p_reader and m.moment is not null
               and (p_before is null or (m.moment, p.paper_id) < (p_before, p_before_id))
             order by m.moment desc, p.paper_id desc
             limit least(p_limit, 500)) l
$$;

-- What the ranking learns from: the 400 papers that were rated last (app/ranking/taste.py looks at no more).
create function public.rated_papers(p_reader uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(r) order by r.rated_at desc), '[]')
      from (select title, liked, rated_at, vector
              from public.reader_papers
             where reader_id = p_reader and liked is not null and title is not null and vector <> ''
             order by rated_at desc, paper_id limit 400) r
$$;

-- Which items go by these names: [{key, article}], each as its best copy (see public.items_of_day()).
create function public.items_named(p_keys text[]) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object('key', k.key, 'article', best.article)), '[]')
      from public.item_keys k
     cross join lateral (
        select to_jsonb(a) - 'source_date' - 'item_id' as article
          from public.articles a where a.item_id = k.item_id
         order by a.abstract <> '' desc, a.source = 'arxiv' desc, a.kind = 'paper' desc, a.doi is not null desc,
                  length(a.title) + length(a.abstract) desc, a.source_date desc, a.source, a.external_id
         limit 1) best
     where k.key = any (p_keys)
$$;

-- What arXiv is to be asked for: papers of which nothing but the id is known, or no abstract, the oldest first.
create function public.papers_to_look_up(p_limit integer) returns text[]
language sql stable security invoker set search_path = '' as $$
    select coalesce(array_agg(w.arxiv_id order by w.since), '{}')
      from (select p.arxiv_id, min(p.created_at) as since from public.reader_papers p
             where p.arxiv_id is not null and p.abstract = '' and p.asked_at is null
             group by p.arxiv_id order by since limit p_limit) w
$$;

-- As before, but for the order of the locks.
create function public.record_looked_up(p_asked text[], p_found jsonb) returns void
language plpgsql security invoker
set search_path = ''
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    locked uuid[] := array(
        select r.reader_id from public.readers r
         where r.reader_id in (
            select p.reader_id from public.reader_papers p
             where p.arxiv_id = any (p_asked) and p.arxiv_id is not null and p.abstract = '' and p.asked_at is null)
         order by r.owner, r.external_id for no key update);
    wanted record;
begin
    for wanted in
        select p.paper_id, p.reader_id, f.paper
          from public.reader_papers p
          left join jsonb_array_elements(p_found) as f(paper) on f.paper ->> 'arxiv_id' = p.arxiv_id
         where p.arxiv_id = any (p_asked) and p.arxiv_id is not null and p.abstract = '' and p.asked_at is null
           and p.reader_id = any (locked)
    loop
        update public.reader_papers set asked_at = now() where paper_id = wanted.paper_id;
        if wanted.paper is not null then
            perform public.upsert_reader_paper(wanted.reader_id, wanted.paper);
        end if;
    end loop;
end
$$;

-- As before, but what is new to a reader who was shown nothing yet begins where the first digest began, however often its mail
-- is not sent. Removes what was shown so long before the last one that no late end of a mail can bring it back.
create function public.new_items_of_reader(p_reader uuid) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    last timestamptz := public.last_digest(p_reader);
    since timestamptz := last;
begin
    if last is null then
        -- With the two days that public.new_items_for() adds, a first digest has a week.
        update public.readers_private set new_items_since = now() - interval '5 days'
         where reader_id = p_reader and new_items_since is null;
        select new_items_since into since from public.readers_private where reader_id = p_reader;
    end if;
    delete from public.shown_digests where reader_id = p_reader and written_at < last - interval '60 days';
    return public.new_items_for(p_reader, since)
        || jsonb_build_object('last_digest', last, 'papers', public.rated_papers(p_reader));
end
$$;

revoke all on public.reader_papers, public.reader_paper_keys from public, anon, authenticated;

grant select, insert, update, delete on public.reader_papers, public.reader_paper_keys to service_role;

grant select on public.reader_papers to authenticated;

revoke execute on function
    public.item_names, public.reader_papers_named, public.merge_reader_papers, public.upsert_reader_paper,
    public.upsert_reader_papers, public.paper_feedback, public.list_reader_papers, public.rated_papers,
    public.items_named, public.papers_to_look_up, public.record_looked_up, public.new_items_of_reader
    from public, anon, authenticated;

grant execute on function
    public.item_names, public.reader_papers_named, public.merge_reader_papers, public.upsert_reader_paper,
    public.upsert_reader_papers, public.paper_feedback, public.list_reader_papers, public.rated_papers,
    public.items_named, public.papers_to_look_up, public.record_looked_up, public.new_items_of_reader
    to service_role;
