-- Readers who deleted their data. A readers file or an import names them again each time, and must not create them again.

-- A keyed hash of the owner's id of the reader, and one of the e-mail address. Nothing else is kept.
create table public.erased_readers (
    mark text primary key check (mark ~ '^[0-9a-f]{64}$')
);

-- The keys, created at first use. They are in the database because every process that applies a readers file must find the marks,
-- also after LINK_SECRET was changed.
create table public.erasure_keys (
    one       boolean primary key default true check (one),
    inner_key bytea   not null check (octet_length(inner_key) = 64),
    outer_key bytea   not null check (octet_length(outer_key) = 64)
);

alter table public.erased_readers enable row level security;
alter table public.erasure_keys enable row level security;

-- Returns 32 random bytes.
create function public.random_key() returns bytea
language sql volatile security invoker set search_path = '' as $$
    select sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
$$;

-- Returns the mark of a value (p_field: `key` or `email`) of an owner's reader; null for null. As HMAC (RFC 2104), with two
-- independent keys of a block of SHA-256 each.
create function public.erasure_mark(p_owner text, p_field text, p_value text) returns text
language plpgsql volatile security invoker set search_path = '' as $$
declare
    message bytea := convert_to(jsonb_build_array(p_owner, p_field, p_value)::text, 'UTF8');
    keys public.erasure_keys;
begin
    if p_value is null then
        return null;
    end if;
    insert into public.erasure_keys (inner_key, outer_key)
    select public.random_key() || public.random_key(), public.random_key() || public.random_key()
     where not exists (select from public.erasure_keys)
    on conflict do nothing;
    select * into strict keys from public.erasure_keys;
    return encode(sha256(keys.outer_key || sha256(keys.inner_key || message)), 'hex');
end
$$;

-- Returns whether a reader with this id of the owner, or with this e-mail address, deleted their data.
create function public.reader_is_erased(p_owner text, p_external_id text, p_email text) returns boolean
language plpgsql volatile security invoker set search_path = '' as $$
begin
    -- Most databases have no such reader, and an import has thousands of lines.
    if not exists (select from public.erased_readers) then
        return false;
    end if;
    return exists (
        select from public.erased_readers
         where mark = public.erasure_mark(p_owner, 'key', p_external_id)
            or mark = public.erasure_mark(p_owner, 'email', lower(p_email)));
end
$$;

-- Records that a reader deleted their data.
create function public.mark_erased(p_owner text, p_external_id text, p_email text) returns void
language sql security invoker set search_path = '' as $$
    insert into public.erased_readers (mark)
    select m.mark
      from (values (public.erasure_mark(p_owner, 'key', p_external_id)),
                   (public.erasure_mark(p_owner, 'email', lower(p_email)))) m(mark)
     where m.mark is not null
     order by m.mark
    on conflict do nothing
$$;

-- Permissions.
revoke all on public.erased_readers, public.erasure_keys from public, anon, authenticated;
grant select, insert, update, delete on public.erased_readers, public.erasure_keys to service_role;
revoke execute on function
    public.random_key, public.erasure_mark, public.reader_is_erased, public.mark_erased
    from public, anon, authenticated;
grant execute on function
    public.random_key, public.erasure_mark, public.reader_is_erased, public.mark_erased
    to service_role;
