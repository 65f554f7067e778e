-- What is known of one source for one day. `covered_until` and `complete_from` are moments of public.schedule_now().
create table public.edition_sources (
    source_date   date not null references public.editions on delete cascade,
    source        text not null,
    -- The last reading that succeeded: the fetch task that made it, when it was stored, how many items it gave, and when it began:
    -- whatever the source had at that moment is in the edition.
    read_by       uuid,
    read_at       timestamptz,
    items         integer,
    covered_until timestamptz,
    -- A reading that begins at this moment or later has all that the source will have for the day.
    complete_from timestamptz not null,
    -- Why the last reading failed, and when one last did; `error` is null if the last reading succeeded.
    error         text,
    failed_at     timestamptz,
    primary key (source_date, source)
);

alter table public.edition_sources enable row level security;

-- What a fetch of the day finds: `at`, the moment at which its readings begin, and `kept`, how many items the sources gave that need
-- not be read again: those that were read within the hour, and those that this task has read completely. A reading that was too early
-- to be complete is repeated as soon as a complete one is possible.
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

-- Records how the readings of a day's sources went, those that began at p_at: [{name, complete_from, items}] or
-- [{name, complete_from, error}].
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

revoke all on public.edition_sources from public, anon, authenticated;

grant select, insert, update, delete on public.edition_sources to service_role;

revoke execute on function public.plan_fetch, public.record_readings, public.finish_edition, public.ensure_fetch
    from public, anon, authenticated;

grant execute on function public.plan_fetch, public.record_readings, public.finish_edition, public.ensure_fetch to service_role;
