-- Editions: the papers and news of a day.
create table public.editions (
    source_date date primary key,
    status      text not null default 'fetching' check (status in ('fetching', 'completed', 'partial', 'failed')),
    counts      jsonb not null default '{}',
    errors      jsonb not null default '{}',
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    complete boolean not null default false,
    complete_from timestamptz,
    fetched_at timestamptz
);

create table public.articles (
    source_date  date not null references public.editions on delete cascade,
    source       text not null,
    external_id  text not null,
    kind         text not null check (kind in ('paper', 'news')),
    title        text not null,
    abstract     text not null default '',
    authors      text[] not null default '{}',
    url          text,
    pdf_url      text,
    categories   text[] not null default '{}',
    published_at timestamptz,
    arxiv_id     text,
    doi          text,
    item_id      uuid not null references public.items,
    primary key (source_date, source, external_id)
);

create index articles_of_item on public.articles (item_id);

alter table public.editions enable row level security;

alter table public.articles enable row level security;

-- Makes the day's edition if there is none; one that is there keeps what it has while it is fetched again. Touched in any
-- case: what is being fetched is not old, and retention leaves it its articles.
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

-- Records how a fetch of p_sources ended, or, with the status `fetching`, that it was postponed: the errors by source, the counts as the
-- articles lie in the table. What is read stays: a complete edition stays complete, an edition that was there remains one, and a
-- source whose day is complete has no error. Without p_sources, a completed edition counts as complete.
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

-- Stores up to 500 articles of a day that was begun, each with the keys of what it is, strongest first. One that is there is
-- replaced, and written only where it differs. Linked to the item that any of its keys names; see public.link_item().
create function public.save_articles(p_source_date date, p_articles jsonb) returns void
language plpgsql security invoker set search_path = ''
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    odd record;
begin
    perform public.lock_items(true);
    -- Most are new under all of their keys, and alone with them: these are made items at once, ...
    with given as materialized (
        select row_number() over () as n, g.keys from jsonb_to_recordset(p_articles) as g(keys text[])
    ),
    named as materialized (
        select given.n, k.key, known.key is not null or count(*) over (partition by k.key) > 1 as taken
          from given cross join unnest(given.keys) as k(key) left join public.item_keys known using (key)
    ),
    fresh as materialized (
        select n, gen_random_uuid() as item_id from named group by n having not bool_or(taken)
    ),
    made as (
        insert into public.items (item_id) select item_id from fresh
    )
    insert into public.item_keys (key, item_id) select key, item_id from named join fresh using (n);
    -- ... most others are known under all of them already, and what remains is linked one by one.
    for odd in
        select g.keys from jsonb_to_recordset(p_articles) as g(keys text[])
         where (select count(known.key) < count(*) or count(distinct known.item_id) > 1
                  from unnest(g.keys) as k(key) left join public.item_keys known using (key))
    loop
        perform public.link_item(odd.keys);
    end loop;
    with stored as (
        insert into public.articles as a (
            source_date, source, external_id, kind, title, abstract, authors, url, pdf_url, categories, published_at,
            arxiv_id, doi, item_id)
        select p_source_date, g.source, g.external_id, g.kind, g.title, g.abstract, g.authors, g.url, g.pdf_url,
               g.categories, g.published_at, g.arxiv_id, g.doi, k.item_id
          from jsonb_to_recordset(p_articles) as g(
                   source text, external_id text, kind text, title text, abstract text, authors text[], url text,
                   pdf_url text, categories text[], published_at timestamptz, arxiv_id text, doi text, keys text[])
          join public.item_keys k on k.key = g.keys[1]
         order by g.source, g.external_id
        on conflict (source_date, source, external_id) do update
           set kind = excluded.kind, title = excluded.title, abstract = excluded.abstract, authors = excluded.authors,
               url = excluded.url, pdf_url = excluded.pdf_url, categories = excluded.categories,
               published_at = excluded.published_at, arxiv_id = excluded.arxiv_id, doi = excluded.doi,
               item_id = excluded.item_id
         where (a.*) is distinct from (excluded.*)
        returning item_id
    )
    update public.items i set changed_at = now()
     where i.item_id in (select item_id from stored) and i.changed_at < now();
end
$$;

-- Answers as public.create_tasks() does. A fetch of the day by the service itself that has not ended is as good as the one
-- that is asked for, whoever asked for it.
-- With p_refresh the day was fetched before: `fresh` if its edition is complete, or as complete as it can be and not an hour old.
-- A caller's task (p_waiting) has its fetches after the service's own, p_caller_limit at a time: `busy` if that many are
-- unfinished. What a schedule or the service itself asks for as well comes first from then on.
create function public.ensure_fetch(
    p_source_date date, p_task jsonb, p_waiting uuid, p_afresh boolean, p_refresh boolean default false,
    p_caller_limit integer default null
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    under_way uuid;
    -- Null: the service's own.
    caller text := (select t.owner from public.tasks t where t.task_id = p_waiting and t.reader_id is null);
    moment timestamptz := public.schedule_now();
    answer jsonb;
begin
    if caller is not null then
        -- The caller's fetches are counted below: whoever asks for the same caller meanwhile waits here.
        perform pg_advisory_xact_lock(hashtextextended('fetches of ' || caller, 0));
    end if;
    perform pg_advisory_xact_lock(hashtextextended('fetch:' || p_source_date, 0));
    select t.task_id into under_way
      from public.queue q join public.tasks t using (task_id)
     where q.kind = 'fetch' and not q.dead_letter and t.owner = 'system' and t.source_date = p_source_date
     order by t.created_at, t.task_id limit 1;
    if under_way is not null then
        if caller is null then
            -- Claims look for it from now on: what is ready lies behind the marks of public.claim_tasks().
            update public.queue set priority = 0, run_at = greatest(run_at, clock_timestamp())
             where task_id = under_way and priority > 0 and worker_id is null;
            update public.tasks set payload = payload - 'requested_by', priority = 0
             where task_id = under_way and payload ? 'requested_by';
        end if;
        return (select jsonb_build_object('outcome', 'existing', 'tasks', jsonb_build_array(to_jsonb(r)))
                  from public.task_records r where r.task_id = under_way);
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
        answer := public.create_tasks('system', jsonb_build_array(p_task), true, p_waiting, p_afresh);
        if answer ->> 'outcome' = 'created' and p_caller_limit < (
            select count(*) from public.queue q join public.tasks t using (task_id)
             where q.kind = 'fetch' and not q.dead_letter and t.owner = 'system' and t.payload ->> 'requested_by' = caller)
        then
            raise exception using errcode = 'BQ002';
        end if;
    exception
        when sqlstate 'BQ002' then
            return '{"outcome": "busy"}';  -- what was inserted is not
    end;
    return answer;
end
$$;

revoke all on public.editions, public.articles from public, anon, authenticated;

revoke execute on function public.begin_edition, public.finish_edition, public.save_articles, public.ensure_fetch
    from public, anon, authenticated;

grant select, insert, update, delete on public.editions, public.articles to service_role;

grant execute on function public.begin_edition, public.finish_edition, public.save_articles, public.ensure_fetch
    to service_role;
