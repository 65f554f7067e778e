-- Syncs of connected libraries. Each step of a sync names its claim: when the library is connected again, disconnected or claimed
-- by another worker, the sync ends without effect.

-- Claims the library that is due first and returns {reader_id, library, collections, version, problem_kind, problem, key}; null if
-- none is due. A repetition returns the same library.
create function public.claim_library(p_token uuid, p_seconds double precision) returns jsonb
language plpgsql security invoker set search_path = '' as $$
begin
    if not exists (select from public.reader_libraries where claim_token = p_token) then
        -- Libraries of readers who left would be first in every search.
        with of_gone as materialized (
            select l.reader_id from public.reader_libraries l join public.readers r using (reader_id)
             where l.next_sync_at <= now() and r.status not in ('active', 'paused')
             order by l.next_sync_at, l.reader_id limit 100 for update of l skip locked)
        update public.reader_libraries l set next_sync_at = now() + interval '1 day'
          from of_gone where l.reader_id = of_gone.reader_id;
        with due as materialized (
            select l.reader_id from public.reader_libraries l join public.readers r using (reader_id)
             where l.next_sync_at <= now() and coalesce(l.claimed_until <= now(), true) and r.status in ('active', 'paused')
             order by l.next_sync_at, l.reader_id limit 1 for update of l skip locked)
        update public.reader_libraries l
           set claim_token = p_token, claimed_until = now() + make_interval(secs => p_seconds)
          from due where l.reader_id = due.reader_id;
    end if;
    return (
        select jsonb_build_object(
                   'reader_id', l.reader_id, 'library', l.library, 'collections', l.collections, 'version', l.version,
                   'problem_kind', l.problem_kind, 'problem', l.problem, 'key', p.library_key)
          from public.reader_libraries l join public.readers_private p using (reader_id)
         where l.claim_token = p_token);
end
$$;

-- Makes the library of a reader who returns or confirms due at once: public.claim_library() has postponed it. A refused key is
-- tried again as planned.
create function public.sync_library_of_returned() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    update public.reader_libraries set next_sync_at = now()
     where reader_id = new.reader_id and next_sync_at > now() and problem_kind is distinct from 'key_refused';
    return null;
end
$$;

create trigger readers_sync_library after update of status on public.readers
    for each row when (new.status in ('active', 'paused') and old.status not in ('active', 'paused'))
    execute function public.sync_library_of_returned();

-- Locks the claim's reader, and renews the claim. Returns the reader's id; null if the claim has ended.
create function public.hold_library(p_token uuid, p_seconds double precision) returns uuid
language plpgsql security invoker set search_path = '' as $$
declare
    claimed uuid := (select reader_id from public.reader_libraries where claim_token = p_token);
begin
    perform 1 from public.readers where reader_id = claimed for no key update;
    update public.reader_libraries set claimed_until = now() + make_interval(secs => p_seconds)
     where reader_id = claimed and claim_token = p_token;
    return case when found then claimed end;
end
$$;

-- Returns the versions of the library's entries as far as they were read, [[entry_key, version]]; null if the claim has ended.
create function public.library_versions(p_token uuid, p_seconds double precision) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    reader uuid := public.hold_library(p_token, p_seconds);
begin
    return case when reader is not null then (
        select coalesce(jsonb_agg(jsonb_build_array(entry_key, version) order by entry_key), '[]')
          from public.library_entries where reader_id = reader) end;
end
$$;

-- Records one entry, {key, version, paper} or {key, version, reason}. Returns the number of new papers: 1 or 0. A paper that the
-- reader removed here does not return. The caller holds the reader's lock.
create function public.record_library_entry(p_reader uuid, p_entry jsonb, p_papers integer) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    stored public.library_entries;
    read_paper public.reader_papers := jsonb_populate_record(null::public.reader_papers, p_entry -> 'paper');
    result record;
begin
    select * into stored from public.library_entries where reader_id = p_reader and entry_key = p_entry ->> 'key';
    if stored.entry_key is not null and stored.paper_id is null and stored.rejection is null then
        update public.library_entries set version = (p_entry ->> 'version')::bigint
         where reader_id = p_reader and entry_key = stored.entry_key;
        return 0;
    end if;
    -- In the order of a paper's removal: papers before entries.
    perform 1 from public.reader_papers where paper_id = stored.paper_id for update;
    select * into result from public.import_entry(p_reader, p_entry, p_papers);
    insert into public.library_entries (reader_id, entry_key, version, paper_id, rejection)
    values (p_reader, p_entry ->> 'key', (p_entry ->> 'version')::bigint, result.imported, left(result.reason, 300))
    on conflict (reader_id, entry_key) do update
       set version = excluded.version, paper_id = excluded.paper_id, rejection = excluded.rejection;
    if stored.paper_id is distinct from result.imported then
        perform public.remove_synced_papers(p_reader, array[stored.paper_id]);
    else
        -- The library's own papers follow its changes. An abstract that was looked up stays; with a vector of no version ('0:'),
        -- public.outdated_vectors() has the vector made again.
        update public.reader_papers
           set title = read_paper.title, authors = read_paper.authors, url = read_paper.url,
               abstract = coalesce(nullif(read_paper.abstract, ''), abstract),
               vector = case when read_paper.abstract <> '' or abstract = '' then read_paper.vector else '0:' end,
               published_at = read_paper.published_at, publication = read_paper.publication
         where paper_id = result.imported and synced and origin = 'zotero' and read_paper.title is not null
           and (title, coalesce(nullif(read_paper.abstract, ''), abstract), authors, url, publication) is distinct from
               (read_paper.title, abstract, read_paper.authors, read_paper.url, read_paper.publication);
    end if;
    return coalesce(result.is_new, false)::integer;
end
$$;

-- Records entries of the claimed library; a repetition changes nothing. Returns false if the claim has ended.
create function public.record_library_entries(p_token uuid, p_seconds double precision, p_entries jsonb) returns boolean
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    reader uuid := public.hold_library(p_token, p_seconds);
    papers integer := (select count(*) from public.reader_papers where reader_id = reader);
    entry jsonb;
begin
    if reader is null then
        return false;
    end if;
    for entry in select e from jsonb_array_elements(p_entries) with ordinality as l(e, place) order by place loop
        papers := papers + public.record_library_entry(reader, entry, papers);
    end loop;
    return true;
end
$$;

-- Removes entries that the claimed library no longer has, with their papers (public.remove_synced_papers). Returns false if the
-- claim has ended.
create function public.remove_library_entries(p_token uuid, p_seconds double precision, p_keys text[]) returns boolean
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    reader uuid := public.hold_library(p_token, p_seconds);
    papers uuid[] := array(
        select p.paper_id from public.reader_papers p
         where p.paper_id in (
            select e.paper_id from public.library_entries e where e.reader_id = reader and e.entry_key = any (p_keys))
         order by p.paper_id for update);
begin
    delete from public.library_entries where reader_id = reader and entry_key = any (p_keys);
    perform public.remove_synced_papers(reader, papers);
    return reader is not null;
end
$$;

-- Ends a sync: a complete one with the library's version, a failed one with its problem, and one that was postponed with neither,
-- which keeps an earlier problem. The next sync is due in p_seconds. Returns false if the claim ended
-- otherwise.
create function public.end_library_sync(
    p_token uuid, p_version bigint, p_problem_kind text, p_problem text, p_seconds double precision
) returns boolean
language plpgsql security invoker set search_path = '' as $$
begin
    update public.reader_libraries
       set version = coalesce(p_version, version),
           synced_at = case when p_version is not null then now() else synced_at end,
           problem_kind = case when p_version is null then coalesce(p_problem_kind, problem_kind) else p_problem_kind end,
           problem = case when p_version is null then coalesce(left(p_problem, 500), problem) else left(p_problem, 500) end,
           failing_since = case when p_version is null or p_problem_kind is not null
                                then coalesce(failing_since, case when p_problem_kind is not null then now() end) end,
           next_sync_at = now() + make_interval(secs => p_seconds), claim_token = null, claimed_until = null,
           ended_token = p_token
     where claim_token = p_token;
    return found or exists (select from public.reader_libraries where ended_token = p_token);
end
$$;

-- Permissions.
revoke execute on function
    public.claim_library, public.sync_library_of_returned, public.hold_library, public.library_versions,
    public.record_library_entry, public.record_library_entries, public.remove_library_entries, public.end_library_sync
    from public, anon, authenticated;
grant execute on function
    public.claim_library, public.sync_library_of_returned, public.hold_library, public.library_versions,
    public.record_library_entry, public.record_library_entries, public.remove_library_entries, public.end_library_sync
    to service_role;
