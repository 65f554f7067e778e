-- Imports of libraries: the uploaded file, stored in pieces until its task has ended, and the papers that are read from it.

-- An upload has the id of its task, which is created when the file is complete. The counts are written in the transactions that
-- write the papers, so that another attempt continues where the last one ended, with the same report.
create table public.uploads (
    upload_id     uuid        primary key,
    owner         text        not null,
    reader_id     uuid        not null references public.readers on delete cascade,
    pieces        integer     not null default 0,
    bytes         integer     not null default 0 check (bytes <= 50000000),
    received      boolean     not null default false,   -- the file is complete, and its task exists
    touched_at    timestamptz not null default now(),   -- when the last piece arrived
    code_version  text,                                 -- the code that counted the entries: another one may count differently
    entries       integer     not null default 0 check (entries = accepted + already_there + rejected),
    accepted      integer     not null default 0,
    already_there integer     not null default 0,
    rejected      integer     not null default 0,
    rejections    jsonb       not null default '[]'     -- the first 500: [{line, key, reason}]
);

create table public.upload_pieces (
    upload_id uuid    not null references public.uploads on delete cascade,
    number    integer not null,
    content   bytea   not null check (octet_length(content) between 1 and 1000000),
    primary key (upload_id, number)
);

create index uploads_of_reader on public.uploads (reader_id);
create index uploads_of_owner on public.uploads (owner);
create index uploads_receiving on public.uploads (touched_at) where not received;

alter table public.uploads enable row level security;
alter table public.upload_pieces enable row level security;

-- Begins an upload of a reader's library. Returns {outcome}, or null if there is no such reader. `outcome` is opened, reader_busy
-- (the reader has another upload, or an import that has not ended: task_id) or caller_busy (the owner has p_receiving uploads
-- that are being received, or 20 in all). An upload without a new piece for a minute was abandoned, and gives way. p_key: the
-- request's idempotency key; a request with the key of the unfinished import repeats it.
create function public.open_upload(p_upload uuid, p_owner text, p_reader uuid, p_key text, p_receiving integer) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    busy public.uploads;
    receiving integer;
    stored integer;
begin
    perform 1 from public.readers where reader_id = p_reader for no key update;
    if not found then
        return null;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('uploads of ' || p_owner, 0));
    if exists (select from public.uploads where upload_id = p_upload) then
        return '{"outcome": "opened"}';
    end if;
    with abandoned as materialized (
        select upload_id from public.uploads
         where not received and touched_at < now() - interval '1 minute' and (reader_id = p_reader or owner = p_owner)
         order by upload_id for update skip locked)
    delete from public.uploads u using abandoned where u.upload_id = abandoned.upload_id;
    select u.* into busy from public.uploads u
     where u.reader_id = p_reader
       and not (u.received and exists (
           select from public.tasks t
            where t.task_id = u.upload_id and t.owner = p_owner and t.idempotency_key = p_key))
     limit 1;
    if found then
        return jsonb_build_object('outcome', 'reader_busy', 'task_id', case when busy.received then busy.upload_id end);
    end if;
    select count(*) filter (where not received), count(*) into receiving, stored from public.uploads where owner = p_owner;
    if receiving >= p_receiving or stored >= 20 then
        return '{"outcome": "caller_busy"}';
    end if;
    insert into public.uploads (upload_id, owner, reader_id) values (p_upload, p_owner, p_reader);
    return '{"outcome": "opened"}';
end
$$;

-- Appends a piece (base64) to an upload that is being received. Pieces are numbered from 0; a repetition changes nothing. Returns
-- false if the upload was removed.
create function public.append_piece(p_upload uuid, p_number integer, p_content text) returns boolean
language plpgsql security invoker set search_path = '' as $$
declare
    expected integer;
    content bytea := decode(p_content, 'base64');
begin
    select pieces into expected from public.uploads where upload_id = p_upload and not received for update;
    if expected is null or p_number > expected then
        return false;
    elsif p_number = expected then
        insert into public.upload_pieces (upload_id, number, content) values (p_upload, p_number, content);
        update public.uploads set pieces = pieces + 1, bytes = bytes + octet_length(content), touched_at = now()
         where upload_id = p_upload;
    end if;
    return true;
end
$$;

-- Ends the upload of p_pieces pieces and creates its import (p_tasks: one task), or finds the one that an earlier request created:
-- see public.create_tasks(). Returns null if the upload was removed.
create function public.finish_upload(p_upload uuid, p_owner text, p_pieces integer, p_tasks jsonb) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    created jsonb;
begin
    -- The removal of the reader would not find the new task: it comes before or after it.
    perform 1 from public.readers r join public.uploads u using (reader_id) where u.upload_id = p_upload for key share of r;
    if not exists (select from public.uploads where upload_id = p_upload and pieces = p_pieces)
       and not exists (select from public.tasks where task_id = p_upload) then
        return null;
    end if;
    created := public.create_tasks(p_owner, p_tasks, false, null);
    if created ->> 'outcome' = 'created' then
        update public.uploads set received = true, touched_at = now() where upload_id = p_upload and not received;
        if not found then
            raise exception 'the upload % was removed while it ended', p_upload using errcode = '40001';
        end if;
    end if;
    return created;
end
$$;

-- Returns the counts of an import so far.
create function public.import_report(p_upload public.uploads) returns jsonb
language sql immutable security invoker set search_path = '' as $$
    select jsonb_build_object(
        'entries', p_upload.entries, 'accepted', p_upload.accepted, 'already_there', p_upload.already_there,
        'rejected', p_upload.rejected, 'rejections', p_upload.rejections)
$$;

-- Begins or continues an import. Returns {pieces, entries, accepted, already_there, rejected, rejections}: what earlier attempts
-- have done. Counts of another version of the code are not continued: what it imported counts as already there. Returns null
-- if the file was removed.
create function public.begin_import(p_task uuid, p_code_version text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    upload public.uploads;
begin
    update public.uploads
       set code_version = p_code_version, entries = 0, accepted = 0, already_there = 0, rejected = 0, rejections = '[]'
     where upload_id = p_task and received and code_version is distinct from p_code_version;
    select * into upload from public.uploads where upload_id = p_task and received;
    if upload.upload_id is null then
        return null;
    end if;
    return jsonb_build_object('pieces', upload.pieces) || public.import_report(upload);
end
$$;

-- Returns a piece of an uploaded file as base64; null if it was removed.
create function public.read_piece(p_task uuid, p_number integer) returns text
language sql stable security invoker set search_path = '' as $$
    select translate(encode(content, 'base64'), E'\n', '') from public.upload_pieces
     where upload_id = p_task and number = p_number
$$;

-- Records one entry of a library: {paper}, as public.upsert_reader_paper() takes it, or {reason}. Returns whether the reader has a
-- new paper, and its id; nulls, and the reason, if the entry is rejected, also by the database's own limits. The caller holds the
-- reader's lock.
create function public.import_entry(
    p_reader uuid, p_entry jsonb, p_papers integer, out is_new boolean, out reason text, out imported uuid)
language plpgsql security invoker set search_path = '' as $$
declare
    began timestamptz := clock_timestamp();
begin
    if p_entry ? 'reason' then
        reason := p_entry ->> 'reason';
        return;
    end if;
    imported := public.upsert_reader_paper(p_reader, p_entry -> 'paper');
    is_new := (select p.created_at >= began from public.reader_papers p where p.paper_id = imported);
    if is_new and p_papers >= public.max_reader_papers() then
        raise exception 'a reader has at most % papers: remove some, and import the library again', public.max_reader_papers();
    end if;
exception
    when data_exception or integrity_constraint_violation or program_limit_exceeded then
        is_new := null;
        imported := null;
        reason := 'the database does not accept it: ' || sqlerrm;
    when raise_exception then
        is_new := null;
        imported := null;
        reason := sqlerrm;
end
$$;

-- Records the next entries of an import, of which p_from were recorded before. Returns the report so far; a repetition changes
-- nothing. Returns null if the task is not running under the lease, or its file was removed.
create function public.import_entries(p_task uuid, p_lease_token uuid, p_from integer, p_entries jsonb) returns jsonb
language plpgsql security invoker
set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    upload public.uploads;
    entry jsonb;
    result record;
    papers integer;
begin
    perform 1 from public.readers
      where reader_id = (select u.reader_id from public.uploads u where u.upload_id = p_task) for no key update;
    select * into upload from public.uploads where upload_id = p_task for update;
    if not found or not exists (
        select from public.queue
         where task_id = p_task and lease_token = p_lease_token and worker_id is not null) then
        return null;
    elsif upload.entries <> p_from then
        return public.import_report(upload);
    end if;
    papers := (select count(*) from public.reader_papers where reader_id = upload.reader_id);
    for entry in select e from jsonb_array_elements(p_entries) with ordinality as l(e, place) order by place loop
        select * into result from public.import_entry(upload.reader_id, entry, papers);
        upload.entries := upload.entries + 1;
        if result.is_new is null then
            upload.rejected := upload.rejected + 1;
            if jsonb_array_length(upload.rejections) < 500 then
                upload.rejections := upload.rejections || jsonb_build_object(
                    'line', entry -> 'line', 'key', entry -> 'key', 'reason', left(result.reason, 300));
            end if;
        elsif result.is_new then
            upload.accepted := upload.accepted + 1;
            papers := papers + 1;
        else
            upload.already_there := upload.already_there + 1;
        end if;
    end loop;
    update public.uploads
       set entries = upload.entries, accepted = upload.accepted, already_there = upload.already_there,
           rejected = upload.rejected, rejections = upload.rejections
     where upload_id = p_task;
    return public.import_report(upload);
end
$$;

-- Removes the file of an import that ends, however it ends.
create function public.remove_upload() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    delete from public.uploads where upload_id = new.task_id;
    return null;
end
$$;

create trigger tasks_remove_upload
    after update of status on public.tasks
    for each row when (new.kind = 'import' and new.status is not null and old.status is null)
    execute function public.remove_upload();

-- Removes uploads whose sender is gone: 10 at most, because each can have 50 MB. Returns their number.
create function public.prune_uploads() returns integer
language plpgsql security invoker set search_path = '' as $$
declare
    removed integer;
begin
    with abandoned as materialized (
        select upload_id from public.uploads where not received and touched_at < now() - interval '15 minutes'
         order by touched_at limit 10 for update skip locked)
    delete from public.uploads u using abandoned where u.upload_id = abandoned.upload_id;
    get diagnostics removed = row_count;
    return removed;
end
$$;

-- Permissions.
revoke all on public.uploads, public.upload_pieces from public, anon, authenticated;
grant select, insert, update, delete on public.uploads, public.upload_pieces to service_role;
revoke execute on function
    public.open_upload, public.append_piece, public.finish_upload, public.begin_import, public.read_piece,
    public.import_report, public.import_entry, public.import_entries, public.remove_upload, public.prune_uploads
    from public, anon, authenticated;
grant execute on function
    public.open_upload, public.append_piece, public.finish_upload, public.begin_import, public.read_piece,
    public.import_report, public.import_entry, public.import_entries, public.remove_upload, public.prune_uploads
    to service_role;
