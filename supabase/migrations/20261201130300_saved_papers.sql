-- Exports of saved papers.

-- Lists a reader's saved papers, first saved first, after the last one of the previous page.
create function public.list_saved_papers(p_reader uuid, p_after timestamptz, p_after_id uuid, p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(l) - 'vector' order by l.saved_at, l.paper_id), '[]')
      from (select * from public.reader_papers p
             where p.reader_id = p_reader and p.saved_at is not null
               and (p.saved_at, p.paper_id) > (
                    coalesce(p_after, '-infinity'), coalesce(p_after_id, '00000000-0000-0000-0000-000000000000'::uuid))
             order by p.saved_at, p.paper_id limit least(p_limit, 500)) l
$$;

-- Returns a text that changes when a saved paper of the reader is added, changed or removed: a hash of the versions of the rows.
create function public.saved_papers_version(p_reader uuid) returns text
language sql stable security invoker set search_path = '' as $$
    select coalesce(md5(string_agg(p.paper_id::text || p.xmin::text, ',' order by p.paper_id)), '')
      from public.reader_papers p where p.reader_id = p_reader and p.saved_at is not null
$$;

-- Permissions.
revoke execute on function
    public.list_saved_papers, public.saved_papers_version
    from public, anon, authenticated;
grant execute on function
    public.list_saved_papers, public.saved_papers_version
    to service_role;
