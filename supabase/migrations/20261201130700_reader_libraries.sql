-- Libraries at Zotero that readers have connected: their papers count as liked papers, as long as they are in the library.

-- A reader's connected library. The key is in public.readers_private. A worker claims a library to sync it; the claim ends with the
-- sync, or when the worker has not renewed it for a while.
create table public.reader_libraries (
    reader_id     uuid        primary key references public.readers on delete cascade,
    library       text        not null check (library ~ '^(users|groups)/[1-9][0-9]{0,14}$'),
    collections   text[]      not null check (cardinality(collections) <= 20), -- patterns of their paths; empty: the whole library
    version       bigint      check (version >= 0),     -- the library's version of the last complete sync since the connection
    connected_at  timestamptz not null default now(),
    next_sync_at  timestamptz not null default now(),
    claim_token   uuid        unique,
    claimed_until timestamptz,
    ended_token   uuid        unique,                   -- the claim whose sync ended last: its repetitions change nothing
    synced_at     timestamptz,                          -- when a sync was complete last
    problem_kind  text        check (problem_kind in (
        'key_refused', 'collections', 'empty', 'incomplete', 'too_many', 'unavailable')),
    problem       text        check (char_length(problem) <= 500),
    failing_since timestamptz,
    constraint reader_libraries_problem check ((problem_kind is null) = (problem is null))
);

-- The entries of connected libraries. An entry without paper and rejection is one whose paper was removed here.
create table public.library_entries (
    reader_id uuid   not null references public.reader_libraries on delete cascade,
    entry_key text   not null check (entry_key ~ '^[A-Z0-9]{8}$'),
    version   bigint not null check (version >= 0),     -- the entry's version, as far as it was read
    paper_id  uuid   references public.reader_papers on delete set null,
    rejection text   check (char_length(rejection) <= 300),
    primary key (reader_id, entry_key)
);

create index reader_libraries_due on public.reader_libraries (next_sync_at, reader_id);
create index reader_libraries_refused on public.reader_libraries (reader_id) where problem_kind = 'key_refused';
create index library_entries_of_paper on public.library_entries (paper_id) where paper_id is not null;

alter table public.reader_libraries enable row level security;
alter table public.library_entries enable row level security;

-- Removes papers that are liked only because the library had them, and that no entry has any more. Saved ones stay, without rating.
-- The caller holds the reader's lock.
create function public.remove_synced_papers(p_reader uuid, p_papers uuid[]) returns void
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    removed uuid[] := array(
        select p.paper_id from unnest(p_papers) as given(paper_id) join public.reader_papers p using (paper_id)
         where p.reader_id = p_reader and p.synced
           and not exists (select from public.library_entries e where e.paper_id = p.paper_id)
         order by p.paper_id);
begin
    update public.reader_papers set liked = null, rated_at = null, synced = false
     where paper_id = any (removed) and saved_at is not null;
    delete from public.reader_papers where paper_id = any (removed) and saved_at is null;
end
$$;

-- Connects a library to a reader, or changes its collections or key. p_key null: the stored key. Another library replaces the
-- connected one, whose papers are removed. Returns connected, or key_missing if no key for this library is stored, or one that
-- Zotero refuses: it refuses all requests from an address that sends wrong keys. Null if there is no such reader. A repetition
-- changes nothing.
create function public.connect_library(p_reader uuid, p_library text, p_collections text[], p_key text) returns text
language plpgsql security invoker set search_path = '' as $$
declare
    connected public.reader_libraries;
    stored_key text;
begin
    perform 1 from public.readers where reader_id = p_reader for no key update;
    if not found then
        return null;
    end if;
    select * into connected from public.reader_libraries where reader_id = p_reader for update;
    select library_key into stored_key from public.readers_private where reader_id = p_reader;
    if p_key is null and (
        connected.library is distinct from p_library or stored_key is null or connected.problem_kind = 'key_refused') then
        return 'key_missing';
    elsif connected.library <> p_library then
        perform public.disconnect_library(p_reader, false);
    end if;
    update public.readers_private set library_key = p_key
     where reader_id = p_reader and p_key is not null and library_key is distinct from p_key;
    insert into public.reader_libraries as l (reader_id, library, collections) values (p_reader, p_library, p_collections)
    on conflict (reader_id) do update
       set collections = p_collections, version = null, next_sync_at = now(), claim_token = null, claimed_until = null,
           problem_kind = null, problem = null, failing_since = null
     where l.collections <> p_collections or l.problem_kind is not null or coalesce(p_key <> stored_key, p_key is not null);
    return 'connected';
end
$$;

-- Disconnects a reader's library and forgets its key. The papers that came from it are removed, or with p_keep stay liked. Returns
-- whether a library was connected.
create function public.disconnect_library(p_reader uuid, p_keep boolean) returns boolean
language plpgsql security invoker set search_path = '' as $$
declare
    papers uuid[];
    connected boolean;
begin
    perform 1 from public.readers where reader_id = p_reader for no key update;
    papers := array(
        select p.paper_id from public.reader_papers p where p.reader_id = p_reader and p.synced order by p.paper_id for update);
    delete from public.reader_libraries where reader_id = p_reader;
    connected := found;
    update public.readers_private set library_key = null where reader_id = p_reader and library_key is not null;
    if p_keep then
        update public.reader_papers set synced = false where paper_id = any (papers);
    else
        perform public.remove_synced_papers(p_reader, papers);
    end if;
    return connected;
end
$$;

-- Returns a reader's connected library with the number of its entries by what became of them, never its key; null if there is none.
create function public.read_library(p_reader uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select to_jsonb(l) - array['claim_token', 'claimed_until', 'ended_token', 'version'] || jsonb_build_object(
               'is_syncing', coalesce(l.claimed_until > now(), false),
               'papers', e.papers, 'removed', e.removed, 'rejected', e.rejected)
      from public.reader_libraries l
     cross join lateral (
        select count(paper_id) as papers, count(rejection) as rejected,
               count(*) filter (where paper_id is null and rejection is null) as removed
          from public.library_entries where reader_id = p_reader) e
     where l.reader_id = p_reader
$$;

-- Begins the check of a key for a reader and returns 0, or returns the seconds until the next one may begin: Zotero refuses all
-- requests from an address that has sent several wrong keys. p_check identifies the check: its repetition also returns 0. Null if
-- there is no such reader.
create function public.begin_key_check(p_reader uuid, p_check uuid, p_interval_seconds double precision) returns double precision
language plpgsql security invoker set search_path = '' as $$
declare
    private public.readers_private;
    next_at timestamptz;
begin
    select * into private from public.readers_private where reader_id = p_reader for update;
    next_at := private.key_checked_at + make_interval(secs => p_interval_seconds);
    if private.reader_id is null then
        return null;
    elsif private.key_check is distinct from p_check and next_at > clock_timestamp() then
        return extract(epoch from next_at - clock_timestamp());
    end if;
    update public.readers_private set key_check = p_check, key_checked_at = clock_timestamp()
     where reader_id = p_reader and key_check is distinct from p_check;
    return 0;
end
$$;

-- Returns the entries of a readers file, [{external_id, library}], whose library changed in the file since it was applied:
-- [{external_id, reader_id}]. A reader that was in no file has none; {} is no library.
create function public.changed_file_libraries(p_owner text, p_entries jsonb) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(
               jsonb_build_object('external_id', r.external_id, 'reader_id', r.reader_id) order by r.external_id), '[]')
      from jsonb_array_elements(p_entries) e
      join public.readers r on r.owner is not distinct from p_owner and r.external_id = e ->> 'external_id'
      join public.readers_private p using (reader_id)
     where coalesce(p.file_library, '{}') <> e -> 'library'
$$;

-- Records the library that the readers file has for a reader.
create function public.record_file_library(p_reader uuid, p_library jsonb) returns void
language sql security invoker set search_path = '' as $$
    update public.readers_private set file_library = p_library
     where reader_id = p_reader and file_library is distinct from p_library
$$;

-- Permissions.
revoke all on public.reader_libraries, public.library_entries from public, anon, authenticated;
grant select, insert, update, delete on public.reader_libraries, public.library_entries to service_role;
revoke execute on function
    public.remove_synced_papers, public.connect_library, public.disconnect_library, public.read_library,
    public.begin_key_check, public.changed_file_libraries, public.record_file_library
    from public, anon, authenticated;
grant execute on function
    public.remove_synced_papers, public.connect_library, public.disconnect_library, public.read_library,
    public.begin_key_check, public.changed_file_libraries, public.record_file_library
    to service_role;
