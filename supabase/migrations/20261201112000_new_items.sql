-- New items of a reader: the items first seen since the last digest, without those that the reader was shown.

-- The keys of each item that a reader was shown, so that any copy of the item is recognized. Rows are kept longer than articles,
-- and items longer still (public.apply_retention): an item that was first seen after a row was written is another item, so only
-- a reader's newest rows are read.
create table public.shown_items (
    reader_id uuid        not null,
    key       text        not null,
    shown_at  timestamptz not null default now(),
    primary key (reader_id, key) include (shown_at)
);

-- For retention. No BRIN index: new rows fill the pages of removed ones, and the ranges of their pages never get shorter again. The
-- rows of a digest have one shown_at, so that a B-tree stores few bytes for each.
create index shown_items_old on public.shown_items (shown_at);

-- One row for each digest that its reader was shown, or that had nothing to show. It is inserted in the transaction in which the
-- delivery becomes `sent` or `in_doubt`, or in which a digest without a mail ends. Only one transaction does that for a day,
-- so none waits for another.
create table public.shown_digests (
    reader_id  uuid        not null,
    local_day  date        not null,
    began_at   timestamptz not null,                    -- a minute before the task was created: deliveries that ended before it
                                                        -- did not affect the digest
    written_at timestamptz not null,
    primary key (reader_id, local_day)
);

alter table public.shown_items enable row level security;
alter table public.shown_digests enable row level security;

-- Records that a reader was shown the items with these keys, and the other keys that these items have now. Repetitions change
-- nothing. The caller's transaction is the one that makes a delivery `sent` or `in_doubt`, or that ends the digest of a reader
-- without an e-mail address.
create function public.record_shown_keys(p_reader uuid, p_keys text[]) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.shown_items (reader_id, key)
    select p_reader, k.key
      from (select unnest(p_keys) as key
            union
            select other.key from public.item_keys named join public.item_keys other using (item_id)
             where named.key = any (p_keys)) k
     where k.key is not null
     order by k.key
    on conflict do nothing;
end
$$;

-- Returns what a digest needs: the days (UTC) of new items with their counts and last changes, the items that the reader was
-- shown or may be shown by a delivery under way, the sources with errors, and an unfinished fetch that runs within two minutes (a
-- source that recovers is retried within that time).
create function public.new_items_for(p_reader uuid, p_last timestamptz) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    today date := (now() at time zone 'UTC')::date;
    first_day date := greatest(coalesce((p_last at time zone 'UTC')::date, today - 5), today - 14) - 2;
    since timestamptz := first_day::timestamp at time zone 'UTC';
    shown_keys text[];
begin
    perform public.skip_late_deliveries(p_reader);
    -- Read separately, because in a join the planner would read all rows of the reader. One statement, so that a mail that is
    -- being sent is in one of the two parts.
    shown_keys := array(
        select s.key from public.shown_items s where s.reader_id = p_reader and s.shown_at >= since
        union all
        select public.in_flight_keys(p_reader));
    return jsonb_build_object(
        'since', since,
        'days', (
            select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
              from (select (i.first_seen at time zone 'UTC')::date as day, count(*) as items, max(i.changed_at) as changed_at
                      from public.items i where i.first_seen >= since group by 1) d),
        'shown', (
            select coalesce(jsonb_agg(distinct k.item_id), '[]') from public.item_keys k where k.key = any (shown_keys)),
        'missing', (
            select coalesce(jsonb_agg(to_jsonb(m) order by m.source), '[]')
              from (select f.source, array_agg(e.source_date order by e.source_date) as days,
                           (array_agg(f.reason order by e.source_date desc))[1] as reason
                      from public.editions e cross join lateral jsonb_each_text(e.errors) as f(source, reason)
                     where e.source_date >= first_day - 1 group by f.source) m),
        'fetching', (
            select t.task_id from public.queue q join public.tasks t using (task_id)
             where q.kind = 'fetch' and not q.dead_letter
               and (q.worker_id is not null or q.run_at <= now() + interval '2 minutes')
               and t.owner = 'system' and t.source_date >= first_day - 4
             order by t.source_date desc, t.task_id limit 1));
end
$$;

-- Returns the most complete copy of each of these items: with an abstract; from arXiv; a paper; with a DOI; with a comment; the
-- longest; the newest. Items without a copy are missing.
create function public.best_copies(p_items uuid[]) returns table (item_id uuid, article jsonb)
language sql stable security invoker set search_path = '' as $$
    select i.item_id, best.article
      from unnest(p_items) as i(item_id)
     cross join lateral (
        select to_jsonb(a) - 'source_date' - 'item_id' as article
          from public.articles a where a.item_id = i.item_id
         order by a.abstract <> '' desc, a.source = 'arxiv' desc, a.kind = 'paper' desc, a.doi is not null desc,
                  a.journal_ref || a.comment <> '' desc, length(a.title) + length(a.abstract) desc,
                  a.source_date desc, a.source, a.external_id
         limit 1) best
$$;

-- Returns the items first seen on a day (UTC), in the order of first_seen and item_id, after the last one of the previous page,
-- each as its most complete copy. Items of editions more than a week older were fetched for another purpose and are excluded.
create function public.items_of_day(p_day date, p_after timestamptz, p_after_id uuid, p_limit integer) returns jsonb
language plpgsql stable security invoker set search_path = ''
    set plan_cache_mode = force_custom_plan as $$
declare
    first_moment timestamptz := p_day::timestamp at time zone 'UTC';
begin
    return (
        with page as materialized (
            select i.item_id, i.first_seen
              from public.items i
             where i.first_seen >= first_moment and i.first_seen < first_moment + interval '1 day'
               and (p_after is null or (i.first_seen, i.item_id) > (p_after, p_after_id))
               and (select max(a.source_date) from public.articles a where a.item_id = i.item_id) >= p_day - 7
             order by i.first_seen, i.item_id
             limit least(p_limit, 1000))
        select coalesce(jsonb_agg(jsonb_build_object(
                   'item_id', p.item_id, 'first_seen', p.first_seen, 'keys', named.keys, 'article', best.article)
                   order by p.first_seen, p.item_id), '[]')
          from page p
          join public.best_copies(array(select item_id from page)) best using (item_id)
         cross join lateral (
            select array_agg(k.key order by k.key) as keys from public.item_keys k where k.item_id = p.item_id) named);
end
$$;

-- Finds items by their keys: [{key, article}], each as its most complete copy.
create function public.items_with_keys(p_keys text[]) returns jsonb
language sql stable security invoker set search_path = '' as $$
    with found as materialized (select k.key, k.item_id from public.item_keys k where k.key = any (p_keys))
    select coalesce(jsonb_agg(jsonb_build_object('key', f.key, 'article', best.article) order by f.key), '[]')
      from found f join public.best_copies(array(select distinct item_id from found)) best using (item_id)
$$;

-- Permissions.
revoke all on public.shown_items, public.shown_digests from public, anon, authenticated;
grant select, insert, update, delete on public.shown_items, public.shown_digests to service_role;
revoke execute on function
    public.record_shown_keys, public.new_items_for, public.best_copies, public.items_of_day, public.items_with_keys
    from public, anon, authenticated;
grant execute on function
    public.record_shown_keys, public.new_items_for, public.best_copies, public.items_of_day, public.items_with_keys
    to service_role;
