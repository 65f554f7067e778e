-- Editions: the papers and news of a day.

create table public.editions (
    source_date date primary key,
    status      text not null default 'fetching' check (status in ('fetching', 'completed', 'partial', 'failed')),
    counts      jsonb not null default '{}',
    errors      jsonb not null default '{}',
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
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
    primary key (source_date, source, external_id)
);

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

-- Records how the fetching ended: the errors by source as they are given, the counts as the articles lie in the table.
-- A day that was complete once stays complete: its articles are there, whatever failed the second time.
create function public.finish_edition(p_source_date date, p_status text, p_errors jsonb) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    found public.editions;
begin
    update public.editions e
       set status = case e.status when 'completed' then 'completed' else p_status end,
           errors = case e.status when 'completed' then '{}' else p_errors end,
           counts = (
               select coalesce(jsonb_object_agg(c.source, c.n), '{}')
                 from (select a.source, count(*) as n from public.articles a
                        where a.source_date = p_source_date group by a.source) c),
           updated_at = now()
     where e.source_date = p_source_date
    returning * into found;
    return case when found.source_date is not null then to_jsonb(found) end;
end
$$;

revoke all on public.editions, public.articles from public, anon, authenticated;
revoke execute on function public.begin_edition, public.finish_edition from public, anon, authenticated;
grant select, insert, update, delete on public.editions, public.articles to service_role;
grant execute on function public.begin_edition, public.finish_edition to service_role;
