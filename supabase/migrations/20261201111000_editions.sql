-- Editions: the papers and news of a day (UTC), and what each source gave.

-- Times ending in `complete_from`, `covered_until` and `fetched_at` are those of public.schedule_now().
create table public.editions (
    source_date   date        primary key,
    status        text        not null default 'fetching' check (status in ('fetching', 'completed', 'partial', 'failed')),
    counts        jsonb       not null default '{}',    -- {source: articles}
    errors        jsonb       not null default '{}',    -- {source: error}
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    complete      boolean     not null default false,   -- every source has been read after its complete_from
    complete_from timestamptz,                          -- the latest complete_from of the sources
    fetched_at    timestamptz                           -- when the last fetch finished
);

create table public.articles (
    source_date  date   not null references public.editions on delete cascade,
    source       text   not null,
    external_id  text   not null,
    kind         text   not null check (kind in ('paper', 'news')),
    title        text   not null,
    abstract     text   not null default '',
    authors      text[] not null default '{}',
    url          text,
    pdf_url      text,
    categories   text[] not null default '{}',
    published_at timestamptz,
    arxiv_id     text,
    doi          text,
    journal_ref  text   not null default '',
    comment      text   not null default '',
    code_url     text,
    item_id      uuid   not null references public.items,
    primary key (source_date, source, external_id)
);

create index articles_of_item on public.articles (item_id);

-- The state of one source for one day.
create table public.edition_sources (
    source_date   date        not null references public.editions on delete cascade,
    source        text        not null,
    read_by       uuid,                                 -- the fetch task of the last successful read,
    read_at       timestamptz,                          -- when it was stored,
    items         integer,                              -- how many items it gave,
    covered_until timestamptz,                          -- and when it began: the edition has what the source had then
    complete_from timestamptz not null,                 -- a read that begins at or after this time is complete
    error         text,                                 -- the error of the last read; null if it succeeded
    failed_at     timestamptz,                          -- the last failure
    primary key (source_date, source)
);

-- How the last reads of each source ended, for operators. `items` and `source_date` are those of the last success.
create table public.sources (
    name         text primary key,
    succeeded_at timestamptz,
    source_date  date,
    items        integer,
    failed_at    timestamptz,
    error        text,
    failing_since timestamptz                           -- the first failure after the last success; null: the last read succeeded
);

alter table public.editions enable row level security;
alter table public.articles enable row level security;
alter table public.edition_sources enable row level security;
alter table public.sources enable row level security;

-- Returns the edition of a day and creates it if there is none. An existing one keeps its articles while it is fetched again; its
-- updated_at changes, so that retention does not remove it.
create function public.begin_edition(p_source_date date) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    found public.editions;
begin
    insert into public.editions as e (source_date) values (p_source_date)
        on conflict (source_date) do update
       set status = case e.status when 'failed' then 'fetching' else e.status end, updated_at = now()
    returning * into found;
    return to_jsonb(found);
end
$$;

-- Records how a fetch of p_sources ended, or (status `fetching`) that it was postponed: errors by source, and counts of the
-- stored articles. A complete edition stays complete, a readable one stays readable, and a source whose day is complete has no
-- error. Without p_sources, a completed edition counts as complete.
create function public.finish_edition(
    p_source_date date, p_status text, p_errors jsonb, p_sources text[] default null
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    found public.editions;
    whole boolean;
    whole_from timestamptz;
    open_errors jsonb;
begin
    select coalesce(bool_and(coalesce(s.covered_until >= s.complete_from, false)), p_status = 'completed'), max(s.complete_from)
      into whole, whole_from
      from unnest(p_sources) as n(name)
      left join public.edition_sources s on s.source_date = p_source_date and s.source = n.name;
    select coalesce(jsonb_object_agg(e.key, e.value), '{}') into open_errors
      from jsonb_each(p_errors) e
     where not exists (
        select from public.edition_sources s
         where s.source_date = p_source_date and s.source = e.key and s.covered_until >= s.complete_from);
    update public.editions e
       set complete = e.complete or whole,
           status = case
               when e.complete or whole then 'completed'
               when p_status = 'fetching' and e.status in ('completed', 'partial') then e.status
               when p_status = 'failed' and e.status in ('completed', 'partial') then 'partial'
               when p_status = 'partial' and open_errors = '{}' then 'completed'
               else p_status
           end,
           errors = case when e.complete or whole then '{}' else open_errors end,
           counts = (
               select coalesce(jsonb_object_agg(c.source, c.n), '{}')
                 from (select a.source, count(*) as n from public.articles a
                        where a.source_date = p_source_date group by a.source) c),
           complete_from = coalesce(whole_from, e.complete_from),
           fetched_at = case when p_status = 'fetching' then e.fetched_at else public.schedule_now() end,
           updated_at = now()
     where e.source_date = p_source_date
    returning * into found;
    return case when found.source_date is not null then to_jsonb(found) end;
end
$$;

-- Stores up to 500 articles of a day, each with its keys, strongest first. Replaces an existing article only if it differs. Links
-- each to the item that its keys name (public.link_item).
create function public.save_articles(p_source_date date, p_articles jsonb) returns void
language plpgsql security invoker set search_path = ''
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    unlinked record;
begin
    perform public.lock_items(true);
    -- Most articles have only new keys that no other article has: these get their items in one statement.
    with incoming as materialized (
        select row_number() over () as n, g.keys from jsonb_to_recordset(p_articles) as g(keys text[])
    ),
    incoming_keys as materialized (
        select incoming.n, k.key, existing.key is not null or count(*) over (partition by k.key) > 1 as in_use
          from incoming cross join unnest(incoming.keys) as k(key) left join public.item_keys existing using (key)
    ),
    new_items as materialized (
        select n, gen_random_uuid() as item_id from incoming_keys group by n having not bool_or(in_use)
    ),
    inserted as (
        insert into public.items (item_id) select item_id from new_items
    )
    insert into public.item_keys (key, item_id) select key, item_id from incoming_keys join new_items using (n);
    -- Most others have only keys of one item already. The rest is linked one by one.
    for unlinked in
        select g.keys from jsonb_to_recordset(p_articles) as g(keys text[])
         where (select count(existing.key) < count(*) or count(distinct existing.item_id) > 1
                  from unnest(g.keys) as k(key) left join public.item_keys existing using (key))
    loop
        perform public.link_item(unlinked.keys);
    end loop;
    with stored as (
        insert into public.articles as a (
            source_date, source, external_id, kind, title, abstract, authors, url, pdf_url, categories, published_at,
            arxiv_id, doi, journal_ref, comment, code_url, item_id)
        select p_source_date, g.source, g.external_id, g.kind, g.title, g.abstract, g.authors, g.url, g.pdf_url,
               g.categories, g.published_at, g.arxiv_id, g.doi, coalesce(g.journal_ref, ''), coalesce(g.comment, ''),
               g.code_url, k.item_id
          from jsonb_to_recordset(p_articles) as g(
                   source text, external_id text, kind text, title text, abstract text, authors text[], url text,
                   pdf_url text, categories text[], published_at timestamptz, arxiv_id text, doi text,
                   journal_ref text, comment text, code_url text, keys text[])
          join public.item_keys k on k.key = g.keys[1]
         order by g.source, g.external_id
        on conflict (source_date, source, external_id) do update
           set kind = excluded.kind, title = excluded.title, abstract = excluded.abstract, authors = excluded.authors,
               url = excluded.url, pdf_url = excluded.pdf_url, categories = excluded.categories,
               published_at = excluded.published_at, arxiv_id = excluded.arxiv_id, doi = excluded.doi,
               -- arXiv's daily listing has no comments: it must not remove those that the API gave.
               journal_ref = coalesce(nullif(excluded.journal_ref, ''), a.journal_ref),
               comment = coalesce(nullif(excluded.comment, ''), a.comment),
               code_url = coalesce(excluded.code_url, a.code_url), item_id = excluded.item_id
         where (a.*) is distinct from (excluded.*)
        returning item_id
    )
    update public.items i set changed_at = now()
     where i.item_id in (select item_id from stored) and i.changed_at < now();
end
$$;

-- Plans the reads of a fetch: `at`, the time at which they begin, and `kept`, {source: items} of sources that need no read: those
-- read within the hour, and those that this task has read completely. A read that was too early to be complete is repeated as
-- soon as a complete one is possible.
create function public.plan_fetch(p_source_date date, p_task_id uuid) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object('at', c.moment, 'kept', coalesce((
               select jsonb_object_agg(s.source, s.items)
                 from public.edition_sources s
                where s.source_date = p_source_date and s.error is null
                  and case when s.covered_until >= s.complete_from
                           then s.covered_until > c.moment - interval '1 hour' or s.read_by = p_task_id
                           else s.covered_until > c.moment - interval '1 hour' and s.complete_from > c.moment end), '{}'))
      from (select public.schedule_now() as moment) c
$$;

-- Records how the reads of a day's sources ended: [{name, items}] or [{name, error}]. Removes sources that have not been read
-- for 90 days.
create function public.record_sources(p_source_date date, p_sources jsonb) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.sources as s (name, succeeded_at, source_date, items, failed_at, error, failing_since)
    select g.name, case when g.error is null then now() end, case when g.error is null then p_source_date end, g.items,
           case when g.error is not null then now() end, g.error, case when g.error is not null then now() end
      from jsonb_to_recordset(p_sources) as g(name text, items integer, error text)
     order by g.name
    on conflict (name) do update
       set succeeded_at = coalesce(excluded.succeeded_at, s.succeeded_at),
           source_date = coalesce(excluded.source_date, s.source_date), items = coalesce(excluded.items, s.items),
           failed_at = coalesce(excluded.failed_at, s.failed_at), error = coalesce(excluded.error, s.error),
           failing_since = case when excluded.error is not null then coalesce(s.failing_since, excluded.failing_since) end;
    with old as materialized (
        select name from public.sources
         where greatest(succeeded_at, failed_at) < now() - interval '90 days'
         order by name for update skip locked)
    delete from public.sources s using old where s.name = old.name;
end
$$;

-- Records how the reads that began at p_at ended: [{name, complete_from, items}] or [{name, complete_from, error}].
create function public.record_readings(p_source_date date, p_task_id uuid, p_at timestamptz, p_sources jsonb) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.record_sources(p_source_date, p_sources);
    insert into public.edition_sources as s (
        source_date, source, read_by, read_at, items, covered_until, complete_from, error, failed_at)
    select p_source_date, g.name, case when g.error is null then p_task_id end, case when g.error is null then now() end,
           g.items, case when g.error is null then p_at end, g.complete_from, g.error,
           case when g.error is not null then now() end
      from jsonb_to_recordset(p_sources) as g(name text, items integer, error text, complete_from timestamptz)
     order by g.name
    on conflict (source_date, source) do update
       set read_by = coalesce(excluded.read_by, s.read_by), read_at = coalesce(excluded.read_at, s.read_at),
           items = coalesce(excluded.items, s.items), covered_until = coalesce(excluded.covered_until, s.covered_until),
           complete_from = excluded.complete_from, error = excluded.error,
           failed_at = coalesce(excluded.failed_at, s.failed_at);
end
$$;

-- Returns the result of public.create_tasks(). An unfinished fetch of the day that belongs to the service is used for every
-- request.
-- p_refresh: returns `fresh` if the edition is complete, or less than an hour old and as complete as it can be now.
-- p_waiting_task is the task that needs the fetch. The fetches of a caller's task have a lower priority than the service's own, and
-- at most p_caller_limit of them are unfinished at a time (else `busy`). A request of a schedule or of the service raises the
-- priority of such a fetch.
create function public.ensure_fetch(
    p_source_date date, p_task jsonb, p_waiting_task uuid, p_replace_completed boolean, p_refresh boolean default false,
    p_caller_limit integer default null
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    unfinished uuid;
    -- Null for the service's own task.
    caller text := (select t.owner from public.tasks t where t.task_id = p_waiting_task and t.reader_id is null);
    moment timestamptz := public.schedule_now();
    result jsonb;
begin
    if caller is not null then
        -- The caller's fetches are counted below, so other requests for the same caller wait here.
        perform pg_advisory_xact_lock(hashtextextended('fetches of ' || caller, 0));
    end if;
    perform pg_advisory_xact_lock(hashtextextended('fetch:' || p_source_date, 0));
    select t.task_id into unfinished
      from public.queue q join public.tasks t using (task_id)
     where q.kind = 'fetch' and not q.dead_letter and t.owner = 'system' and t.source_date = p_source_date
     order by t.created_at, t.task_id limit 1;
    if unfinished is not null then
        if caller is null then
            -- run_at moves to now, because the marks of public.claim_tasks() may be past its old value.
            update public.queue set priority = 0, run_at = greatest(run_at, clock_timestamp())
             where task_id = unfinished and priority > 0 and worker_id is null;
            update public.tasks set payload = payload - 'requested_by', priority = 0
             where task_id = unfinished and payload ? 'requested_by';
        end if;
        return (select jsonb_build_object('outcome', 'existing', 'tasks', jsonb_build_array(to_jsonb(r)))
                  from public.task_records r where r.task_id = unfinished);
    end if;
    if p_refresh and exists (
        select from public.editions e
         where e.source_date = p_source_date and e.status in ('completed', 'partial')
           and (e.complete
                or e.fetched_at > moment - interval '1 hour'
                   and not coalesce(e.fetched_at < e.complete_from and e.complete_from <= moment, false)))
    then
        return '{"outcome": "fresh"}';
    end if;
    if caller is not null then
        p_task := p_task || jsonb_build_object(
            'priority', 1, 'payload', (p_task -> 'payload') || jsonb_build_object('requested_by', caller));
    end if;
    begin
        result := public.create_tasks('system', jsonb_build_array(p_task), true, p_waiting_task, p_replace_completed);
        if result ->> 'outcome' = 'created' and p_caller_limit < (
            select count(*) from public.queue q join public.tasks t using (task_id)
             where q.kind = 'fetch' and not q.dead_letter and t.owner = 'system' and t.payload ->> 'requested_by' = caller)
        then
            raise exception using errcode = 'BQ002';
        end if;
    exception
        when sqlstate 'BQ002' then
            return '{"outcome": "busy"}';  -- the insert is rolled back
    end;
    return result;
end
$$;

-- Permissions.
revoke all on public.editions, public.articles, public.edition_sources, public.sources from public, anon, authenticated;
grant select, insert, update, delete on public.editions, public.articles, public.edition_sources, public.sources to service_role;
revoke execute on function
    public.begin_edition, public.finish_edition, public.save_articles, public.plan_fetch, public.record_sources,
    public.record_readings, public.ensure_fetch
    from public, anon, authenticated;
grant execute on function
    public.begin_edition, public.finish_edition, public.save_articles, public.plan_fetch, public.record_sources,
    public.record_readings, public.ensure_fetch
    to service_role;
