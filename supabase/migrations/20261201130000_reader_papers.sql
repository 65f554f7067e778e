-- Papers with a reader's feedback. A row exists while the reader rates the paper or has saved it.

create table public.reader_papers (
    paper_id     uuid        primary key default gen_random_uuid(),
    reader_id    uuid        not null references public.readers on delete cascade,
    kind         text        not null check (kind in ('paper', 'news')),
    title        text        check (char_length(title) between 1 and 300), -- null while only the arXiv id or DOI is known
    abstract     text        not null check (char_length(abstract) <= 6000),
    authors      text[]      not null check (cardinality(authors) <= 100),
    url          text        check (char_length(url) <= 2000),
    published_at timestamptz,
    arxiv_id     text        check (char_length(arxiv_id) between 1 and 100),
    doi          text        check (char_length(doi) between 1 and 300),
    origin       text        not null check (char_length(origin) between 1 and 200), -- the source, `manual`, `library` or `zotero`
    vector       text        not null check (char_length(vector) <= 4000), -- app/ranking/vectors.py writes it; '': none yet
    liked        boolean,
    rated_at     timestamptz,
    synced       boolean     not null default false,    -- liked only because the connected library has it
    saved_at     timestamptz,
    -- app/models.py defines it (Publication).
    publication  jsonb       check (jsonb_typeof(publication) = 'object' and length(publication::text) <= 4000),
    looked_up_at     timestamptz,                           -- when arXiv or Crossref answered the look-up, which happens once
    created_at   timestamptz not null default clock_timestamp(),
    constraint reader_papers_rating check ((liked is null) = (rated_at is null)),
    constraint reader_papers_synced check (not synced or coalesce(liked, false)),
    constraint reader_papers_has_feedback check (liked is not null or saved_at is not null)
);

-- The keys of these papers, as app/models/item_keys.py writes them.
create table public.reader_paper_keys (
    reader_id uuid not null,
    key       text not null check (length(key) between 1 and 300),
    paper_id  uuid not null references public.reader_papers on delete cascade,
    primary key (reader_id, key)
);

create index reader_papers_listed on public.reader_papers (reader_id, created_at desc, paper_id desc);
create index reader_papers_saved on public.reader_papers (reader_id, saved_at desc, paper_id desc) where saved_at is not null;
-- From these two the ranking learns (public.rated_papers).
create index reader_papers_rated on public.reader_papers (reader_id, rated_at desc, paper_id)
    where liked is not null and title is not null and vector <> '' and (origin not in ('library', 'zotero') or not liked);
create index reader_papers_of_library on public.reader_papers (reader_id, (abstract = ''), published_at desc nulls last, paper_id)
    where liked and title is not null and vector <> '' and origin in ('library', 'zotero');
create index reader_papers_to_look_up on public.reader_papers (arxiv_id)
    where arxiv_id is not null and abstract = '' and looked_up_at is null;
create index reader_papers_dois_to_look_up on public.reader_papers (doi)
    where doi is not null and arxiv_id is null and abstract = '' and looked_up_at is null;
create index reader_paper_keys_of_paper on public.reader_paper_keys (paper_id);

alter table public.reader_papers enable row level security;
alter table public.reader_paper_keys enable row level security;

create policy own_papers_read on public.reader_papers for select to authenticated
    using (reader_id in (select r.reader_id from public.readers r where r.user_id = (select auth.uid())));

-- Adds to these keys (strongest first) the other keys of the item that they name. Different arXiv ids are different papers,
-- whatever else they share.
create function public.expand_item_keys(p_keys text[]) returns text[]
language plpgsql stable security invoker set search_path = '' as $$
declare
    arxiv text := (select k from unnest(p_keys) as k where k like 'arxiv:%' limit 1);
    item uuid := (
        select match.item_id
          from unnest(p_keys) with ordinality as requested(key, place) join public.item_keys match using (key)
         where not exists (
            select from public.item_keys other
             where other.item_id = match.item_id and other.key like 'arxiv:%' and other.key <> arxiv)
         order by requested.place limit 1);
begin
    return p_keys || array(
        select k.key from public.item_keys k where k.item_id = item and k.key <> all (p_keys) order by k.key);
end
$$;

-- Returns the reader's papers that have any of these keys, the one with the strongest key first. They are one paper.
create function public.reader_papers_with_keys(p_reader uuid, p_names text[]) returns uuid[]
language plpgsql stable security invoker set search_path = '' as $$
declare
    arxiv text := (select substr(n, 7) from unnest(p_names) as n where n like 'arxiv:%' limit 1);
    papers uuid[] := '{}';
    candidate record;
begin
    for candidate in
        select p.paper_id, lower(p.arxiv_id) as arxiv
          from unnest(p_names) with ordinality as requested(key, place)
          join public.reader_paper_keys k on k.reader_id = p_reader and k.key = requested.key
          join public.reader_papers p using (paper_id)
         order by requested.place
    loop
        continue when candidate.paper_id = any (papers) or candidate.arxiv <> arxiv;
        papers := papers || candidate.paper_id;
        arxiv := coalesce(arxiv, candidate.arxiv);
    end loop;
    return papers;
end
$$;

-- Returns the publication data (app/models.py: Publication) with more values; p_kept if both have as many. They are not mixed: a
-- preprint and the article have different journals and pages.
create function public.more_complete_publication(p_kept jsonb, p_other jsonb) returns jsonb
language sql immutable security invoker set search_path = '' as $$
    select case when (select count(*) from jsonb_each_text(p_other) where value <> '')
                   > (select count(*) from jsonb_each_text(p_kept) where value <> '') then p_other
                else coalesce(p_kept, p_other) end
$$;

-- Merges p_other into p_kept: the newer rating counts, and a saved paper stays saved. The caller holds the reader's lock.
create function public.merge_reader_papers(p_kept uuid, p_other uuid) returns void
language plpgsql security invoker set search_path = '' as $$
declare
    other public.reader_papers;
begin
    update public.reader_paper_keys set paper_id = p_kept where paper_id = p_other;
    update public.library_entries set paper_id = p_kept where paper_id = p_other;
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
           publication = public.more_complete_publication(p.publication, other.publication),
           liked = case when other.rated_at >= p.rated_at or p.rated_at is null then other.liked else p.liked end,
           rated_at = greatest(p.rated_at, other.rated_at),
           synced = case when other.rated_at is null then p.synced when p.rated_at is null then other.synced
                         else p.synced and other.synced end,
           saved_at = least(p.saved_at, other.saved_at),
           looked_up_at = greatest(p.looked_up_at, other.looked_up_at),
           created_at = least(p.created_at, other.created_at)
     where p.paper_id = p_kept;
end
$$;

-- Records a reader's feedback on a paper. p_paper identifies it by {paper_id} or {keys and metadata}, and has `liked` (true, false,
-- or null to remove the rating) and `saved`; an absent field keeps its value. With `synced`, `liked` comes from the connected
-- library, and does not replace the reader's own rating. Returns the paper's id, or null if no feedback remains. A repetition
-- changes nothing. The caller holds the reader's lock.
create function public.upsert_reader_paper(p_reader uuid, p_paper jsonb) returns uuid
language plpgsql security invoker set search_path = '' as $$
declare
    feedback public.reader_papers := jsonb_populate_record(null::public.reader_papers, p_paper);
    keys text[] := public.expand_item_keys(array(select jsonb_array_elements_text(p_paper -> 'keys')));
    papers uuid[] := public.reader_papers_with_keys(p_reader, keys);
    stored public.reader_papers;
    other uuid;
begin
    if feedback.paper_id is not null then
        papers := array(select paper_id from public.reader_papers where paper_id = feedback.paper_id and reader_id = p_reader);
    end if;
    foreach other in array papers[2:] loop
        perform public.merge_reader_papers(papers[1], other);
    end loop;
    select * into stored from public.reader_papers where paper_id = papers[1];

    feedback.synced := coalesce(feedback.synced and (stored.liked is null or stored.synced), false);
    if not p_paper ? 'liked' or (p_paper ->> 'synced' = 'true' and not feedback.synced) then
        feedback.liked := stored.liked;
        feedback.synced := coalesce(stored.synced, false);
    end if;
    feedback.rated_at := case when feedback.liked = stored.liked then stored.rated_at
                              when feedback.liked is not null then now() end;
    feedback.saved_at := case when not p_paper ? 'saved' then stored.saved_at
                           when (p_paper -> 'saved')::boolean then coalesce(stored.saved_at, now()) end;
    if feedback.liked is null and feedback.saved_at is null then
        delete from public.reader_papers where paper_id = stored.paper_id;
        return null;
    elsif stored.paper_id is not null then
        update public.reader_papers
           set liked = feedback.liked, rated_at = feedback.rated_at, synced = feedback.synced, saved_at = feedback.saved_at,
               arxiv_id = coalesce(arxiv_id, feedback.arxiv_id), doi = coalesce(doi, feedback.doi),
               publication = public.more_complete_publication(publication, feedback.publication)
         where paper_id = stored.paper_id;
        if stored.abstract = '' and (feedback.abstract <> '' or stored.title is null) and feedback.title is not null then
            update public.reader_papers
               set title = feedback.title, abstract = feedback.abstract, authors = feedback.authors, vector = feedback.vector,
                   kind = feedback.kind, url = coalesce(feedback.url, url),
                   published_at = coalesce(feedback.published_at, published_at)
             where paper_id = stored.paper_id;
        end if;
    elsif feedback.paper_id is null then
        insert into public.reader_papers (
            reader_id, kind, title, abstract, authors, url, published_at, arxiv_id, doi, origin, vector, publication,
            liked, rated_at, synced, saved_at)
        values (
            p_reader, feedback.kind, feedback.title, feedback.abstract, feedback.authors, feedback.url,
            feedback.published_at, feedback.arxiv_id, feedback.doi, feedback.origin,
            feedback.vector, feedback.publication, feedback.liked, feedback.rated_at, feedback.synced, feedback.saved_at)
        returning paper_id into stored.paper_id;
    end if;
    insert into public.reader_paper_keys (reader_id, key, paper_id)
    select p_reader, n, stored.paper_id from unnest(keys) as n where stored.paper_id is not null
    on conflict do nothing;
    return stored.paper_id;
end
$$;

-- The most papers of a reader.
create function public.max_reader_papers() returns integer
language sql immutable security invoker set search_path = '' as $$ select 20000 $$;

-- Records feedback on papers, all or nothing. Returns their ids in order (public.upsert_reader_paper), or null if there is no such
-- reader. Calls for one reader run one after the other, and none runs after the reader's removal.
create function public.upsert_reader_papers(p_reader uuid, p_papers jsonb) returns jsonb
language plpgsql security invoker set search_path = ''
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    max_papers constant integer := public.max_reader_papers();
    entry jsonb;
    ids jsonb := '[]';
    total integer;
begin
    perform 1 from public.readers where reader_id = p_reader for no key update;
    if not found then
        return null;
    end if;
    for entry in select e from jsonb_array_elements(p_papers) with ordinality as l(e, place) order by place loop
        ids := ids || jsonb_build_array(public.upsert_reader_paper(p_reader, entry));
    end loop;
    select count(*) into total from public.reader_papers where reader_id = p_reader;
    if total > max_papers then
        raise exception 'a reader keeps at most % papers and would have %: remove some first', max_papers, total
            using errcode = 'raise_exception';
    end if;
    return ids;
end
$$;

-- Removes a paper of the reader with its feedback. Waits for the reader's lock, as every change of feedback does: another one may
-- be about to add keys to the paper.
create function public.remove_reader_paper(p_reader uuid, p_paper uuid) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    perform 1 from public.readers where reader_id = p_reader for no key update;
    delete from public.reader_papers where reader_id = p_reader and paper_id = p_paper;
end
$$;

-- Returns the reader's feedback on items, each given by its keys (strongest first), in the same order: [{paper_id, liked, saved}].
create function public.paper_feedback(p_reader uuid, p_items jsonb) returns jsonb
language sql stable security invoker set search_path = ''
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select coalesce(jsonb_agg(jsonb_build_object(
               'paper_id', p.paper_id, 'liked', p.liked, 'saved', p.saved_at is not null) order by given.place), '[]')
      from jsonb_array_elements(p_items) with ordinality as given(keys, place)
      left join public.reader_papers p on p.paper_id = (
        public.reader_papers_with_keys(p_reader, public.expand_item_keys(array(select jsonb_array_elements_text(given.keys)))))[1]
$$;

-- Lists a reader's papers, newest first, or the saved ones, last saved first; after the last one of the previous page. Each list
-- has an index in its order.
create function public.list_reader_papers(
    p_reader uuid, p_saved boolean, p_before timestamptz, p_before_id uuid, p_limit integer
) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
    before timestamptz := coalesce(p_before, 'infinity');
    before_id uuid := coalesce(p_before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
begin
    if p_saved then
        return (
            select coalesce(jsonb_agg(to_jsonb(l) - 'vector' order by l.saved_at desc, l.paper_id desc), '[]')
              from (select * from public.reader_papers p
                     where p.reader_id = p_reader and p.saved_at is not null and (p.saved_at, p.paper_id) < (before, before_id)
                     order by p.saved_at desc, p.paper_id desc limit least(p_limit, 500)) l);
    end if;
    return (
        select coalesce(jsonb_agg(to_jsonb(l) - 'vector' order by l.created_at desc, l.paper_id desc), '[]')
          from (select * from public.reader_papers p
                 where p.reader_id = p_reader and (p.created_at, p.paper_id) < (before, before_id)
                 order by p.created_at desc, p.paper_id desc limit least(p_limit, 500)) l);
end
$$;

-- Returns the papers from which the ranking learns: 400, which is its limit. Feedback on shown items and an imported library take
-- turns, so that a library of thousands of papers does not displace what the reader says about digests. Feedback counts by its
-- age. Of a library, whose papers all came at one moment, papers with an abstract count first, then those published last.
create function public.rated_papers(p_reader uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$
    with feedback as (
        select p.title, p.liked, p.rated_at, p.vector, 1 as part, row_number() over (order by p.rated_at desc, p.paper_id) as place
          from (select * from public.reader_papers
                 where reader_id = p_reader and liked is not null and title is not null and vector <> ''
                   and (origin not in ('library', 'zotero') or not liked)
                 order by rated_at desc, paper_id limit 400) p),
    library as (
        select p.title, p.liked, p.rated_at, p.vector, 2 as part,
               row_number() over (order by (p.abstract = ''), p.published_at desc nulls last, p.paper_id) as place
          from (select * from public.reader_papers
                 where reader_id = p_reader and liked and title is not null and vector <> ''
                   and origin in ('library', 'zotero')
                 order by (abstract = ''), published_at desc nulls last, paper_id limit 400) p)
    select coalesce(jsonb_agg(to_jsonb(r) - array['part', 'place'] order by r.rated_at desc), '[]')
      from (select * from feedback union all select * from library order by place, part limit 400) r
$$;

-- Returns public.new_items_for() since the last digest that was shown, `last_digest` and the rated `papers`. For a reader who was
-- shown none yet, new items begin where the first digest began, however often its mail fails. Removes rows of shown_digests that
-- are too old for a late result of a delivery to make them the last one.
create function public.new_items_of_reader(p_reader uuid) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    last timestamptz := public.last_digest(p_reader);
    since timestamptz := last;
begin
    if last is null then
        -- public.new_items_for() adds two days, so a first digest covers a week.
        update public.readers_private set new_items_since = now() - interval '5 days'
         where reader_id = p_reader and new_items_since is null;
        select new_items_since into since from public.readers_private where reader_id = p_reader;
    end if;
    delete from public.shown_digests where reader_id = p_reader and written_at < last - interval '60 days';
    return public.new_items_for(p_reader, since)
        || jsonb_build_object('last_digest', last, 'papers', public.rated_papers(p_reader));
end
$$;

-- Returns public.new_items_of_reader() and: `unread`, whether no source has been read for p_source_date, and `day_left`, the
-- seconds until p_local_day ends in the reader's time zone. While the day's fetch runs, a source counts as read after two
-- minutes: when an outage ends, its sources return one after the other. `any_read`: whether any source has been read.
create function public.items_for_schedule(p_reader uuid, p_source_date date, p_local_day date) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    timezone text := (select r.timezone from public.readers r where r.reader_id = p_reader);
begin
    if not public.timezone_is_known(timezone) then
        timezone := 'UTC';
    end if;
    return public.new_items_of_reader(p_reader) || jsonb_build_object(
        'unread', p_source_date is not null and not exists (
            select from public.editions e where e.source_date = p_source_date and e.status in ('completed', 'partial'))
            and not exists (
            select from public.edition_sources s
             where s.source_date = p_source_date and s.read_at < now() - interval '2 minutes'),
        'any_read', exists (
            select from public.edition_sources s where s.source_date = p_source_date and s.read_at is not null)
            -- A source's items are stored before the fetch has tried all sources.
            or exists (select from public.articles a where a.source_date = p_source_date),
        'day_left', coalesce(
            extract(epoch from (p_local_day + 1)::timestamp at time zone timezone - public.schedule_now()), 0));
end
$$;

-- Permissions.
revoke all on public.reader_papers, public.reader_paper_keys from public, anon, authenticated;
grant select, insert, update, delete on public.reader_papers, public.reader_paper_keys to service_role;
grant select on public.reader_papers to authenticated;
revoke execute on function
    public.expand_item_keys, public.reader_papers_with_keys, public.more_complete_publication, public.merge_reader_papers,
    public.upsert_reader_paper, public.max_reader_papers, public.upsert_reader_papers, public.remove_reader_paper,
    public.paper_feedback, public.list_reader_papers, public.rated_papers, public.new_items_of_reader,
    public.items_for_schedule
    from public, anon, authenticated;
grant execute on function
    public.expand_item_keys, public.reader_papers_with_keys, public.more_complete_publication, public.merge_reader_papers,
    public.upsert_reader_paper, public.max_reader_papers, public.upsert_reader_papers, public.remove_reader_paper,
    public.paper_feedback, public.list_reader_papers, public.rated_papers, public.new_items_of_reader,
    public.items_for_schedule
    to service_role;
