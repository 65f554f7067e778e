-- Look-ups of papers of which a reader gave only the arXiv id or DOI.

-- Returns the arXiv ids to look up, oldest first: those of papers without an abstract.
create function public.papers_to_look_up(p_limit integer) returns text[]
language sql stable security invoker set search_path = '' as $$
    select coalesce(array_agg(w.arxiv_id order by w.since), '{}')
      from (select p.arxiv_id, min(p.created_at) as since from public.reader_papers p
             where p.arxiv_id is not null and p.abstract = '' and p.looked_up_at is null
             group by p.arxiv_id order by since limit p_limit) w
$$;

-- Returns the DOIs to look up, oldest first: those of papers without an abstract and without an arXiv id.
create function public.dois_to_look_up(p_limit integer) returns text[]
language sql stable security invoker set search_path = '' as $$
    select coalesce(array_agg(w.doi order by w.since), '{}')
      from (select p.doi, min(p.created_at) as since from public.reader_papers p
             where p.doi is not null and p.arxiv_id is null and p.abstract = '' and p.looked_up_at is null
             group by p.doi order by since limit p_limit) w
$$;

-- Returns the papers that wait for a look-up of one of these arXiv ids or DOIs.
create function public.papers_looked_up(p_arxiv_ids text[], p_dois text[]) returns setof public.reader_papers
language sql stable security invoker
set search_path = '' set enable_seqscan = off as $$
    select p.* from public.reader_papers p
     where p.arxiv_id = any (p_arxiv_ids) and p.arxiv_id is not null and p.abstract = '' and p.looked_up_at is null
    union all
    select p.* from public.reader_papers p
     where p.doi = any (p_dois) and p.doi is not null and p.arxiv_id is null and p.abstract = '' and p.looked_up_at is null
$$;

-- Records what arXiv returned for these ids, or Crossref for these DOIs. Locks readers in the order of public.lock_queue_rows().
create function public.record_looked_up(p_arxiv_ids text[], p_dois text[], p_papers jsonb) returns void
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    locked uuid[] := array(
        select r.reader_id from public.readers r
         where r.reader_id in (select p.reader_id from public.papers_looked_up(p_arxiv_ids, p_dois) p)
         order by r.owner, r.external_id for no key update);
    entry record;
begin
    for entry in
        select p.paper_id, p.reader_id, f.paper
          from public.papers_looked_up(p_arxiv_ids, p_dois) p
          left join jsonb_array_elements(p_papers) as f(paper)
            on f.paper ->> 'arxiv_id' = p.arxiv_id or p.arxiv_id is null and f.paper ->> 'doi' = p.doi
         where p.reader_id = any (locked)
    loop
        update public.reader_papers set looked_up_at = now() where paper_id = entry.paper_id;
        if entry.paper is not null then
            perform public.upsert_reader_paper(entry.reader_id, entry.paper);
        end if;
    end loop;
end
$$;

-- Permissions.
revoke execute on function
    public.papers_to_look_up, public.dois_to_look_up, public.papers_looked_up, public.record_looked_up
    from public, anon, authenticated;
grant execute on function
    public.papers_to_look_up, public.dois_to_look_up, public.papers_looked_up, public.record_looked_up
    to service_role;
