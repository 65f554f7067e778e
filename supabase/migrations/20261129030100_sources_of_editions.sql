-- An edition records which of its sources responded, and until when its day is covered.

create or replace function public.schema_version() returns integer
language sql immutable security invoker set search_path = '' as $$ select 7 $$;

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

-- `complete`: every source was read at or after its `complete_from`. `fetched_at`: when the last fetch of the day ended (schedule_now()).
alter table public.editions
    add column complete boolean not null default false,
    add column complete_from timestamptz,
    add column fetched_at timestamptz;

update public.editions set complete = true where status = 'completed' and updated_at > source_date + interval '4 days';

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
    perform public.note_sources(p_source_date, p_sources);
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

drop function public.finish_edition(date, text, jsonb);

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

drop function public.ensure_fetch(date, jsonb, uuid, boolean);

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
     where q.kind = 'fetch' and not q.dead and t.owner = 'system' and t.source_date = p_source_date
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
             where q.kind = 'fetch' and not q.dead and t.owner = 'system' and t.payload ->> 'requested_by' = caller)
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

revoke all on public.edition_sources from public, anon, authenticated;
grant select, insert, update, delete on public.edition_sources to service_role;
revoke execute on function public.plan_fetch, public.record_readings, public.finish_edition, public.ensure_fetch
    from public, anon, authenticated;
grant execute on function public.plan_fetch, public.record_readings, public.finish_edition, public.ensure_fetch to service_role;
