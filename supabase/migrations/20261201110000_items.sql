-- Items: papers and news, independent of the days on which they arrived and the sources that had them.

create table public.items (
    item_id    uuid        primary key default gen_random_uuid(),
    first_seen timestamptz not null default now(),      -- never changes; two items that are merged keep the earlier one
    changed_at timestamptz not null default now()       -- when a copy was added or changed; invalidates cached days
);

-- `arxiv:`, `doi:`, `from:` (a source's id) and `title:` keys, as app/models/item_keys.py writes them.
create table public.item_keys (
    key     text primary key check (length(key) between 1 and 300),
    item_id uuid not null references public.items on delete cascade
);

create index items_arrived on public.items (first_seen, item_id) include (changed_at);
create index item_keys_of_item on public.item_keys (item_id);

alter table public.items enable row level security;
alter table public.item_keys enable row level security;

-- Merges two items under the id of the one that was seen first, and returns that id. The caller holds the lock of
-- public.lock_items().
create function public.merge_items(p_one uuid, p_other uuid) returns uuid
language plpgsql security invoker set search_path = '' as $$
declare
    kept uuid;
    removed uuid;
begin
    select item_id into kept from public.items where item_id in (p_one, p_other) order by first_seen, item_id limit 1;
    removed := case kept when p_one then p_other else p_one end;
    update public.articles set item_id = kept where item_id = removed;
    update public.item_keys set item_id = kept where item_id = removed;
    delete from public.items where item_id = removed;
    update public.items set changed_at = now() where item_id = kept;
    return kept;
end
$$;

-- Finds the item that these keys name, or creates one, and gives it all keys that no item has; merges the items if the keys name
-- several. The keys are ordered, strongest first. Items with different arXiv ids are never merged, whatever else they share
-- (a title, or a wrong id in a feed): then the strongest key decides.
create function public.link_item(p_keys text[]) returns uuid
language plpgsql security invoker set search_path = '' as $$
declare
    arxiv text := (select k from unnest(p_keys) as k where k like 'arxiv:%' limit 1);
    chosen uuid;
    named_item uuid;
    candidate text;
begin
    foreach candidate in array p_keys loop
        select k.item_id into named_item from public.item_keys k where k.key = candidate;
        continue when named_item is null or named_item = chosen or exists (
            select from public.item_keys k where k.item_id = named_item and k.key like 'arxiv:%' and k.key <> arxiv);
        chosen := case when chosen is null then named_item else public.merge_items(chosen, named_item) end;
        arxiv := coalesce(arxiv, (select k.key from public.item_keys k where k.item_id = chosen and k.key like 'arxiv:%'));
    end loop;
    if chosen is null then
        insert into public.items default values returning item_id into chosen;
    end if;
    insert into public.item_keys (key, item_id) select k, chosen from unnest(p_keys) as k on conflict do nothing;
    return chosen;
end
$$;

-- Takes the lock of everyone who links, merges or removes items: a transaction does not know in advance which rows it will
-- need. Retention does not wait (p_wait false). Returns whether the lock is held.
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

-- Permissions.
revoke all on public.items, public.item_keys from public, anon, authenticated;
grant select, insert, update, delete on public.items, public.item_keys to service_role;
revoke execute on function
    public.merge_items, public.link_item, public.lock_items
    from public, anon, authenticated;
grant execute on function
    public.merge_items, public.link_item, public.lock_items
    to service_role;
