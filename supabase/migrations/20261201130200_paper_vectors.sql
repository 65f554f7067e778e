-- Vectors of readers' papers, which are computed again when app/ranking/vectors.py changes.

-- What app/ranking/vectors.py writes begins with its version; vectors of one version lie together.
create index reader_papers_by_vector_version on public.reader_papers (left(vector, 2), paper_id) where vector <> '';

-- Papers whose vectors do not begin with this mark: [{paper_id, title, abstract}].
create function public.outdated_vectors(p_mark text, p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(o)), '[]')
      from ((select paper_id, title, abstract from public.reader_papers
              where vector <> '' and left(vector, 2) < p_mark limit p_limit)
            union all
            (select paper_id, title, abstract from public.reader_papers
              where vector <> '' and left(vector, 2) > p_mark limit p_limit)
             limit p_limit) o
$$;

-- Stores vectors ([{paper_id, vector}]) of papers that have none with this mark yet; returns how many of them have one now.
-- Locks readers in the order of public.lock_queue_rows().
create function public.put_vectors(p_mark text, p_vectors jsonb) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    given uuid[] := array(select (v ->> 'paper_id')::uuid from jsonb_array_elements(p_vectors) as v);
begin
    perform 1 from public.readers r
      where r.reader_id in (select p.reader_id from public.reader_papers p where p.paper_id = any (given))
      order by r.owner, r.external_id for no key update;
    update public.reader_papers p set vector = v.vector
      from jsonb_to_recordset(p_vectors) as v(paper_id uuid, vector text)
     where p.paper_id = v.paper_id and p.vector <> '' and left(p.vector, 2) <> p_mark;
    return (select count(*) from public.reader_papers p where p.paper_id = any (given) and left(p.vector, 2) = p_mark);
end
$$;

-- Permissions.
revoke execute on function public.outdated_vectors, public.put_vectors from public, anon, authenticated;
grant execute on function public.outdated_vectors, public.put_vectors to service_role;
