-- The daily delivery rate: of the readers due since midnight of their own day, how many got their digest.

-- One row with the last result. It is computed at most once a minute, because it reads up to 20,000 readers.
create table public.delivery_rate (
    one         boolean     primary key default true check (one),
    computed_at timestamptz not null,
    rate        jsonb       not null,
    readers     jsonb                                   -- public.reader_counts() of that moment, for the overview
);

alter table public.delivery_rate enable row level security;

-- Returns how many readers each one of a sample of p_most readers stands for: 1 if there are no more. The number of readers is the
-- estimate of autovacuum.
create function public.readers_per_sample(p_most integer) returns integer
language sql stable security invoker set search_path = '' as $$
    select greatest(1, ceil(c.reltuples / p_most))::integer
      from pg_catalog.pg_class c where c.oid = 'public.readers'::regclass
$$;

-- Returns for one of p_sample readers, if the reader was due since midnight of the reader's own day: `sent` (within an hour),
-- `late`, `skipped` (with the reason), `missing` (not sent an hour after it was due), or `pending` (due less than an hour ago). A
-- reader without an e-mail address gets the digest when it is written. The ids of readers are random, so the first ones are a
-- sample.
create function public.deliveries_today(p_now timestamptz, p_sample integer) returns table (outcome text, reason text)
language plpgsql stable security invoker set search_path = '' set jit = off as $$
declare
    last_id uuid := case when p_sample = 1 then 'ffffffff-ffff-ffff-ffff-ffffffffffff'
                         else rpad(lpad(to_hex(65536 / p_sample), 4, '0'), 32, '0') end;
begin
    return query
    with sample as materialized (
        select r.reader_id, r.timezone, least(r.next_due_at, r.overdue_at) as next_at
          from public.readers r where r.reader_id <= last_id
    ),
    zones as materialized (
        select z.timezone from (select distinct s.timezone from sample s) z where public.timezone_is_known(z.timezone)
    ),
    today as (
        select s.reader_id, (p_now at time zone s.timezone)::date as day, s.next_at from sample s join zones using (timezone)
    ),
    due as (
        select d.status, d.reason, coalesce((t.payload #>> '{scheduled,due_at}')::timestamptz, r.next_at) as due_at,
               case when d.delivery_id is null then w.created_at when d.status = 'sent' then d.ended_at end as sent_at
          from today r
          left join public.tasks t on t.task_id = md5('digest:' || r.reader_id || ':' || r.day)::uuid
          left join public.digests w on w.task_id = t.task_id
          left join public.deliveries d on d.reader_id = r.reader_id and d.kind = 'digest' and d.local_day = r.day
         where t.task_id is not null or r.next_at <= p_now
    )
    select case when due.status = 'skipped' then 'skipped'
                when due.sent_at > due.due_at + interval '1 hour' then 'late'
                when due.sent_at is not null then 'sent'
                when due.due_at > p_now - interval '1 hour' then 'pending'
                else 'missing' end,
           case when due.status = 'skipped' then due.reason end
      from due;
end
$$;

-- Returns {due, sent, late, missing, pending, skipped: [{reason, readers}], delivered, sample}. `due` excludes pending ones.
-- `delivered` has those sent, late, or skipped because of the reader or because nothing was new. If there are more than p_most
-- readers, the numbers are estimated from one of `sample` readers.
create function public.daily_deliveries(p_most integer default 20000) returns jsonb
language sql stable security invoker set search_path = '' as $$
    with sample as materialized (select public.readers_per_sample(p_most) as size),
    counts as materialized (
        select d.outcome, d.reason, count(*) * s.size as readers
          from sample s cross join lateral public.deliveries_today(public.schedule_now(), s.size) d
         group by d.outcome, d.reason, s.size)
    select jsonb_build_object(
               'sample', (select size from sample),
               'due', coalesce(sum(readers) filter (where outcome <> 'pending'), 0),
               'sent', coalesce(sum(readers) filter (where outcome = 'sent'), 0),
               'late', coalesce(sum(readers) filter (where outcome = 'late'), 0),
               'missing', coalesce(sum(readers) filter (where outcome = 'missing'), 0),
               'pending', coalesce(sum(readers) filter (where outcome = 'pending'), 0),
               'delivered', coalesce(sum(readers) filter (
                   where outcome in ('sent', 'late')
                      or outcome = 'skipped' and reason !~ '^(too late|no source|skipped when)'), 0),
               'skipped', coalesce(jsonb_agg(jsonb_build_object('reason', reason, 'readers', readers)
                                             order by readers desc, reason) filter (where outcome = 'skipped'), '[]'))
      from counts
$$;

-- Counts the readers: [{owner, status, readers}]. It reads each reader.
create function public.reader_counts() returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(r) order by r.owner, r.status), '[]')
      from (select owner, status, count(*) as readers from public.readers group by 1, 2) r
$$;

-- Computes the rate, unless it was computed within the last 50 seconds or another call computes it now.
create function public.refresh_delivery_rate() returns void
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.delivery_rate (computed_at, rate) values ('-infinity', '{}') on conflict do nothing;
    perform 1 from public.delivery_rate where computed_at < now() - interval '50 seconds' for update skip locked;
    if found then
        update public.delivery_rate
           set computed_at = now(), rate = public.daily_deliveries(), readers = public.reader_counts() where one;
    end if;
end
$$;

-- Permissions.
revoke all on public.delivery_rate from public, anon, authenticated;
grant select, insert, update, delete on public.delivery_rate to service_role;
revoke execute on function
    public.readers_per_sample, public.deliveries_today, public.daily_deliveries, public.reader_counts,
    public.refresh_delivery_rate
    from public, anon, authenticated;
grant execute on function
    public.readers_per_sample, public.deliveries_today, public.daily_deliveries, public.reader_counts,
    public.refresh_delivery_rate
    to service_role;
