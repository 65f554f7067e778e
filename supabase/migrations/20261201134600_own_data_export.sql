-- Everything that the database has about a reader, for the download: one section for each table, in pages. Omitted are secrets
-- (lease tokens, addresses of callbacks, the account of the mail provider) and what is computed from other rows (vectors, search
-- words).

-- Returns the reader: [row], with the values that the readers file had.
create function public.own_reader(p_reader uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(
               to_jsonb(r) || jsonb_build_object('new_items_since', p.new_items_since, 'confirmation', (
                   select to_jsonb(c) from public.confirmations c where c.reader_id = p_reader), 'file_values', (
                   select jsonb_object_agg(f.key, f.value) from jsonb_each(p.file_values) f
                    where f.key in ('name', 'email', 'timezone', 'send_at', 'weekdays', 'when_empty', 'profile')))), '[]')
      from public.readers r join public.readers_private p using (reader_id) where r.reader_id = p_reader
$$;

-- Returns the reader's papers with their keys.
create function public.own_papers(p_reader uuid, p_after text, p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(
               to_jsonb(l) - 'vector' || jsonb_build_object('id', l.paper_id, 'keys', (
                   select coalesce(jsonb_agg(k.key order by k.key), '[]') from public.reader_paper_keys k
                    where k.paper_id = l.paper_id)) order by l.paper_id), '[]')
      from (select * from public.reader_papers p
             where p.reader_id = p_reader and (p_after is null or p.paper_id > p_after::uuid)
             order by p.paper_id limit p_limit) l
$$;

-- Returns the reader's digests and what the search has of them.
create function public.own_digests(p_reader uuid, p_after text, p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(
               to_jsonb(l) || jsonb_build_object('id', l.task_id, 'archived_items', (
                   select coalesce(jsonb_agg(to_jsonb(a) - 'words' order by a.kind, a.place), '[]')
                     from public.archived_items a where a.task_id = l.task_id)) order by l.task_id), '[]')
      from (select * from public.digests d
             where d.reader_id = p_reader and (p_after is null or d.task_id > p_after::uuid)
             order by d.task_id limit p_limit) l
$$;

-- Returns the reader's mails and links.
create function public.own_deliveries(p_reader uuid, p_after text, p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(
               to_jsonb(l) - array['token', 'claimed_by', 'sender_id'] || jsonb_build_object('id', l.delivery_id)
               order by l.delivery_id), '[]')
      from (select * from public.deliveries d
             where d.reader_id = p_reader and (p_after is null or d.delivery_id > p_after::uuid)
             order by d.delivery_id limit p_limit) l
$$;

-- Returns the reader's tasks with their state in the queue.
create function public.own_tasks(p_reader uuid, p_after text, p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(
               to_jsonb(l) - array['callback_url', 'idempotency_key', 'request_hash', 'ended_by', 'traceparent']
               || jsonb_build_object(
                   'id', l.task_id, 'payload', l.payload - 'url',
                   'queue', (select to_jsonb(q) - array['lease_token', 'worker_id'] from public.queue q
                              where q.task_id = l.task_id),
                   'attempts', (select coalesce(jsonb_agg(
                                    to_jsonb(a) - array['lease_token', 'worker_id', 'host'] order by a.ended_at, a.attempt), '[]')
                                  from public.task_attempts a where a.task_id = l.task_id)) order by l.task_id), '[]')
      from (select * from public.tasks t
             where t.reader_id = p_reader and (p_after is null or t.task_id > p_after::uuid)
             order by t.task_id limit p_limit) l
$$;

-- Returns the keys of the items that the reader was shown.
create function public.own_shown_items(p_reader uuid, p_after text, p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(l) || jsonb_build_object('id', l.key) order by l.key collate "C"), '[]')
      from (select * from public.shown_items s
             where s.reader_id = p_reader and (p_after is null or s.key collate "C" > p_after)
             order by s.key collate "C" limit p_limit) l
$$;

-- Returns the days of the digests that the reader was shown.
create function public.own_shown_digests(p_reader uuid, p_after text, p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(l) || jsonb_build_object('id', l.local_day) order by l.local_day), '[]')
      from (select * from public.shown_digests s
             where s.reader_id = p_reader and (p_after is null or s.local_day > p_after::date)
             order by s.local_day limit p_limit) l
$$;

-- Returns the reader's library that is being imported, in the pieces in which it is stored (base64).
create function public.own_uploads(p_reader uuid, p_after text, p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(l.piece order by l.id collate "C"), '[]')
      from (select u.upload_id::text || lpad(coalesce(p.number, 0)::text, 8, '0') as id,
                   to_jsonb(u) || jsonb_build_object(
                       'id', u.upload_id::text || lpad(coalesce(p.number, 0)::text, 8, '0'), 'piece', p.number,
                       'content', translate(encode(p.content, 'base64'), E'\n', '')) as piece
              from public.uploads u left join public.upload_pieces p using (upload_id)
             where u.reader_id = p_reader
               and (p_after is null or u.upload_id::text || lpad(coalesce(p.number, 0)::text, 8, '0') > p_after collate "C")
             order by u.upload_id, p.number limit p_limit) l
$$;

-- Returns the reader's connected library without its key: [row].
create function public.own_libraries(p_reader uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(l) - array['claim_token', 'claimed_until', 'ended_token']), '[]')
      from public.reader_libraries l where l.reader_id = p_reader
$$;

-- Returns the entries of the reader's connected library.
create function public.own_library_entries(p_reader uuid, p_after text, p_limit integer) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(l) || jsonb_build_object('id', l.entry_key) order by l.entry_key collate "C"), '[]')
      from (select * from public.library_entries e
             where e.reader_id = p_reader and (p_after is null or e.entry_key collate "C" > p_after)
             order by e.entry_key collate "C" limit p_limit) l
$$;

-- Returns the next rows of a section after the row with the `id` p_after, in the order of their `id`: at most p_limit, and fewer of
-- sections with large rows.
create function public.own_data(p_reader uuid, p_section text, p_after text, p_limit integer) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
begin
    return case p_section
        when 'reader' then case when p_after is null then public.own_reader(p_reader) else '[]' end
        when 'papers' then public.own_papers(p_reader, p_after, p_limit)
        when 'digests' then public.own_digests(p_reader, p_after, least(p_limit, 5))
        when 'deliveries' then public.own_deliveries(p_reader, p_after, p_limit)
        when 'tasks' then public.own_tasks(p_reader, p_after, least(p_limit, 100))
        when 'shown_items' then public.own_shown_items(p_reader, p_after, p_limit)
        when 'shown_digests' then public.own_shown_digests(p_reader, p_after, p_limit)
        when 'uploads' then public.own_uploads(p_reader, p_after, least(p_limit, 4))
        when 'reader_libraries' then case when p_after is null then public.own_libraries(p_reader) else '[]' end
        when 'library_entries' then public.own_library_entries(p_reader, p_after, p_limit)
    end;
end
$$;

-- Permissions.
revoke execute on function
    public.own_reader, public.own_papers, public.own_digests, public.own_deliveries, public.own_tasks, public.own_shown_items,
    public.own_shown_digests, public.own_uploads, public.own_libraries, public.own_library_entries, public.own_data
    from public, anon, authenticated;
grant execute on function
    public.own_reader, public.own_papers, public.own_digests, public.own_deliveries, public.own_tasks, public.own_shown_items,
    public.own_shown_digests, public.own_uploads, public.own_libraries, public.own_library_entries, public.own_data
    to service_role;
