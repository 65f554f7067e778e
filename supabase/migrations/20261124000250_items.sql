-- Items: what a paper or a piece of news is, apart from the days on which it came and the sources that it came from.

-- `first_seen` is set once, by this table alone; two items that prove to be one keep the earlier.
create table public.items (
    item_id    uuid primary key default gen_random_uuid(),
    first_seen timestamptz not null default now(),
    -- When a copy of it was added or changed, so that who has read the day knows.
    changed_at timestamptz not null default now()
);

-- `arxiv:`, `doi:`, `from:` (a source's own id) and `title:`, as app/persistence/item_keys.py writes them.
create table public.item_keys (
    key     text primary key check (length(key) between 1 and 300),
    item_id uuid not null references public.items on delete cascade
);

create index items_arrived on public.items (first_seen, item_id) include (changed_at);

create index item_keys_of_item on public.item_keys (item_id);

alter table public.items enable row level security;

alter table public.item_keys enable row level security;

-- Makes two items one, under the id of the one that was seen first; answers its id. Only with the lock of
-- public.lock_items().
create function public.merge_items(p_one uuid, p_other uuid) returns uuid
language plpgsql security invoker set search_path = '' as $$
declare
    kept uuid;
    gone uuid;
begin
    select item_id into kept from public.items where item_id in (p_one, p_other) order by first_seen, item_id limit 1;
    gone := case kept when p_one then p_other else p_one end;
    update public.articles set item_id = kept where item_id = gone;
    update public.item_keys set item_id = kept where item_id = gone;
    delete from public.items where item_id = gone;
    update public.items set changed_at = now() where item_id = kept;
    return kept;
end
$$;

-- Brings local_service what any of these keys names, or makes an item; all keys that were free are its own then. The keys come
-- strongest first. Two arXiv ids are two papers, whatever else they share (a title; or a feed that claims so): there the
-- strongest key decides, and nothing is merged.
create function public.link_item(p_keys text[]) returns uuid
language plpgsql security invoker set search_path = '' as $$
declare
    arxiv text := (select k from unnest(p_keys) as k where k like 'arxiv:%' limit 1);
    chosen uuid;
    holder uuid;
    wanted text;
begin
    foreach wanted in array p_keys loop
        select k.item_id into holder from public.item_keys k where k.key = wanted;
        continue when holder is null or holder = chosen or exists (
            select from public.item_keys k where k.item_id = holder and k.key like 'arxiv:%' and k.key <> arxiv);
        chosen := case when chosen is null then holder else public.merge_items(chosen, holder) end;
        arxiv := coalesce(arxiv, (select k.key from public.item_keys k where k.item_id = chosen and k.key like 'arxiv:%'));
    end loop;
    if chosen is null then
        insert into public.items default values returning item_id into chosen;
    end if;
    insert into public.item_keys (key, item_id) select k, chosen from unnest(p_keys) as k on conflict do nothing;
    return chosen;
end
$$;

-- Whoever links, merges or removes items holds this: they are few, quick, and would else have to lock what they do not know
-- yet. Retention does not wait for it.
create function public.lock_items(p_wait boolean) returns boolean
language plpgsql security invoker set search_path = '' as $$
begin
    if not p_wait then
        return pg_try_advisory_xact_lock(hashtextextended('items', 0));
    end if;
    perform pg_advisory_xact_lock(hashtextextended('items', 0));
    return true;
end
$$;

revoke all on public.items, public.item_keys from public, anon, authenticated;

revoke execute on function public.merge_items, public.link_item, public.lock_items from public, anon, authenticated;

grant select, insert, update, delete on public.items, public.item_keys to service_role;

grant execute on function public.merge_items, public.link_item, public.lock_items to service_role;
