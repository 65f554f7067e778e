-- What stands in a mail of which nobody knows yet what becomes of it stands in no other, and is not forgotten either.

create or replace function public.schema_version() returns integer
language sql immutable security invoker set search_path = '' as $$ select 6 $$;

-- The lease that began the attempts which may have sent it: only another lease's attempt was one before.
alter table public.deliveries add column begun_by uuid;

-- The keys of what stands in a reader's mails that may yet be sent: those under way, and those that failed and whose task was
-- replayed.
create function public.undecided_keys(p_reader uuid) returns setof text
language sql stable security invoker set search_path = '' as $$
    select jsonb_array_elements_text(d.digest -> 'keys')
      from public.deliveries v join public.digests d on d.task_id = v.digest_id
     where v.reader_id = p_reader and v.kind = 'digest'
       and (v.state in ('pending', 'sending')
            or (v.state = 'failed'
                and exists (select from public.queue q where q.task_id = v.task_id and not q.dead)))
$$;

-- Decides what is decided already: a mail that waits and is too late by now will not be sent. Whoever begins to send it at this
-- moment holds its row, and it stays undecided.
create function public.skip_late(p_reader uuid) returns void
language plpgsql security invoker set search_path = '' as $$
declare
    late uuid[] := array(
        select delivery_id from public.deliveries
         where reader_id = p_reader and kind = 'digest' and state = 'pending' and skip_after <= public.schedule_now()
         order by delivery_id for update skip locked);
begin
    if late <> '{}' and public.deliveries_paused() is null then
        update public.deliveries
           set state = 'skipped', reason = 'it came too late: the next one is due', ended_at = now()
         where delivery_id = any (late);
    end if;
end
$$;

-- As before, but for `shown`: what this reader was shown since, or may yet be by a mail under way.
create or replace function public.news_for(p_reader uuid, p_last timestamptz) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    today date := (now() at time zone 'UTC')::date;
    first_day date := greatest(coalesce((p_last at time zone 'UTC')::date, today - 5), today - 14) - 2;
    since timestamptz := first_day::timestamp at time zone 'UTC';
    shown_keys text[];
begin
    perform public.skip_late(p_reader);
    -- Apart: joined, the planner takes a reader's last rows for all of them. In one statement: a mail that is sent at this moment
    -- is in one of the two.
    shown_keys := array(
        select s.key from public.shown s where s.reader_id = p_reader and s.shown_at >= since
        union all
        select public.undecided_keys(p_reader));
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
             where q.kind = 'fetch' and not q.dead and (q.worker_id is not null or q.run_at <= now())
               and t.owner = 'system' and t.source_date >= first_day - 4
             order by t.source_date desc, t.task_id limit 1));
end
$$;

-- When the last digest was made that its reader was shown, or that had nothing to show; null: none was. What one held that
-- nobody was sent is new to its reader still. A digest that was written while an earlier mail was under way left out what
-- stands in that, so if that mail was not sent in the end it is as if the later digest had not been either.
create or replace function public.last_digest(p_reader uuid) returns timestamptz
language sql stable security invoker set search_path = '' as $$
    -- A minute: what had ended by then was perhaps not committed.
    select d.created_at
      from public.digests d
      join (select task_id, created_at - interval '1 minute' as began from public.tasks) t using (task_id)
     where d.reader_id = p_reader
       and not exists (
        select from public.deliveries v
         where v.reader_id = d.reader_id and v.kind = 'digest' and v.local_day = d.local_day
           and v.state not in ('sent', 'ambiguous') and d.digest -> 'keys' <> '[]')
       and not exists (
        select from public.deliveries v
         where v.reader_id = d.reader_id and v.kind = 'digest' and v.local_day < d.local_day
           and v.state not in ('sent', 'ambiguous')
           and (coalesce(v.ended_at > t.began, true)
                or (v.state = 'failed' and exists (
                    select from public.tasks s
                     where s.task_id = v.task_id and coalesce(s.finished_at > t.began, true)))))
     order by d.local_day desc limit 1
$$;

-- As before, but: the same lease that asks again is no earlier attempt (`begun_before`), and what was refused for good has ended,
-- also when its worker died before the task had: only a replay of the task begins it again.
create or replace function public.begin_sending(p_delivery_id uuid, p_token uuid, p_repeatable_seconds double precision)
returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
    d public.deliveries;
    skip text;
    paused text;
begin
    select * into d from public.deliveries where delivery_id = p_delivery_id for update;
    if d.delivery_id is null or not exists (
        select from public.queue q where q.task_id = d.task_id and q.lease_token = p_token and q.worker_id is not null)
    then
        return jsonb_build_object('verdict', 'lost');
    end if;
    if d.state = 'sending' and d.token = p_token then
        return jsonb_build_object(
            'verdict', 'send', 'begun_before', d.begun_by is distinct from p_token, 'mail', public.mail_parts(d));
    end if;
    paused := public.deliveries_paused();
    skip := public.reason_to_skip(d);
    if d.state = 'sending' and (
        skip is not null or paused is not null or coalesce(d.begun_at < now() - make_interval(secs => p_repeatable_seconds), true))
    then
        update public.deliveries
           set state = 'ambiguous', reason = 'its sender was lost while it sent', ended_at = now()
         where delivery_id = p_delivery_id
        returning * into d;
    elsif d.state in ('pending', 'failed') and d.token = p_token then
        -- This lease has said already what became of it: a late repetition of its question.
        return jsonb_build_object('verdict', 'lost');
    elsif d.state = 'failed' and not exists (
        select from public.tasks t where t.task_id = d.task_id and t.replayed_at > d.ended_at)
    then
        return jsonb_build_object('verdict', 'stop', 'state', d.state, 'reason', d.reason);
    elsif d.state in ('pending', 'failed') and paused is not null then
        return jsonb_build_object('verdict', 'paused', 'reason', paused);
    elsif d.state in ('pending', 'failed') and skip is not null then
        update public.deliveries set state = 'skipped', reason = skip, ended_at = now()
         where delivery_id = p_delivery_id
        returning * into d;
    end if;
    if d.state not in ('pending', 'failed', 'sending') then
        return jsonb_build_object('verdict', 'stop', 'state', d.state, 'reason', d.reason);
    end if;
    if not exists (select from public.delivery_gate) then
        perform public.set_delivery_gate(null, false, null);
    end if;
    update public.deliveries
       set state = 'sending', token = p_token, begun_at = coalesce(begun_at, now()), reason = null, ended_at = null,
           begun_by = case when d.state = 'sending' then begun_by else p_token end,
           envelope = coalesce(envelope, (
               select jsonb_build_object('name', r.name, 'address', r.address, 'link_generation', p.link_generation)
                 from public.readers r join public.readers_private p using (reader_id) where r.reader_id = d.reader_id))
     where delivery_id = p_delivery_id
    returning * into d;
    return jsonb_build_object(
        'verdict', 'send', 'begun_before', d.begun_by is distinct from p_token, 'mail', public.mail_parts(d));
end
$$;

revoke execute on function public.undecided_keys, public.skip_late from public, anon, authenticated;
grant execute on function public.undecided_keys, public.skip_late to service_role;
