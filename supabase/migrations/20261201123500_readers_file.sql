-- Readers from a file: only what changed in the file since it was applied last is written, because readers change their own values.

-- Returns the columns that changed from p_known to p_given, which both have the form of readers_private.file_values. The fields of
-- the profile change one by one.
create function public.readers_file_changes(p_given jsonb, p_known jsonb, p_profile jsonb) returns jsonb
language sql immutable security invoker set search_path = '' as $$
    select coalesce(jsonb_object_agg(g.key, case g.key when 'profile' then p_profile || (
               select coalesce(jsonb_object_agg(f.key, f.value), '{}') from jsonb_each(g.value) f
                where f.value is distinct from p_known -> 'profile' -> f.key) else g.value end), '{}')
      from jsonb_each(p_given) g
     where g.value is distinct from p_known -> g.key
$$;

-- Applies the entries of a readers file, [{reader_id, external_id, values}], and returns the results of public.upsert_readers() in
-- their order. p_defaults are the values of an entry without any field: a reader that was in no file keeps what the file omits.
-- One reader after the other, new ones too, so that rows are locked and inserted in the order of public.lock_queue_rows().
create function public.apply_readers_file(p_owner text, p_defaults jsonb, p_readers jsonb) returns jsonb
language plpgsql security invoker set search_path = '' set enable_seqscan = off set plan_cache_mode = auto as $$
declare
    entry record;
    changes jsonb;
    results jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_readers)]);
begin
    perform public.plan_readers_with_values();
    for entry in
        select e.reader, e.reader ->> 'external_id' as external_id, e.reader -> 'values' as given, e.place::integer as place
          from jsonb_array_elements(p_readers) with ordinality as e(reader, place)
         order by e.reader ->> 'external_id', e.place
    loop
        perform 1 from public.readers r
          where r.owner is not distinct from p_owner and r.external_id = entry.external_id for update;
        select public.readers_file_changes(
                   entry.given,
                   p_defaults || coalesce(p.file_values, '{}') || jsonb_build_object(
                       'profile', (p_defaults -> 'profile') || coalesce(p.file_values -> 'profile', '{}')),
                   r.profile)
          into changes
          from public.readers r join public.readers_private p using (reader_id)
         where r.owner is not distinct from p_owner and r.external_id = entry.external_id;
        results[entry.place] := public.try_upsert_reader(
            p_owner, entry.reader - 'values' || coalesce(changes, entry.given), true);
        update public.readers_private p set file_values = entry.given
         where p.reader_id = (results[entry.place] ->> 'reader_id')::uuid and p.file_values is distinct from entry.given;
    end loop;
    return to_jsonb(results);
end
$$;

-- Returns the external_ids of active readers that were in the readers file and are not among p_keys; with p_pause, pauses them.
create function public.readers_missing_in_file(p_owner text, p_keys text[], p_pause boolean) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    missing text[];
begin
    with locked as materialized (
        select r.external_id from public.readers r join public.readers_private p using (reader_id)
         where r.owner = p_owner and r.status = 'active' and p.file_values is not null and r.external_id <> all (p_keys)
         order by r.external_id
           for update of r)
    select array_agg(external_id order by external_id) into missing from locked;
    if p_pause then
        update public.readers set status = 'paused', status_reason = 'no longer in the readers file'
         where owner is not distinct from p_owner and external_id = any (missing);
    end if;
    return to_jsonb(coalesce(missing, '{}'));
end
$$;

-- Permissions.
revoke execute on function
    public.readers_file_changes, public.apply_readers_file, public.readers_missing_in_file
    from public, anon, authenticated;
grant execute on function
    public.readers_file_changes, public.apply_readers_file, public.readers_missing_in_file
    to service_role;
