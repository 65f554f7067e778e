-- Which digests a reader was shown is a fact of its own, and where a first digest begins is another.
--
-- Until now both were read from digests, tasks and deliveries, which retention removes: a reader who returned after 30 days was
-- taken for a new one. And each day on which a new reader's first mail was not sent took a day from what was new.

-- One row for each digest that its reader was shown, or that had nothing to show. A row is inserted in the transaction in which
-- the delivery becomes `sent` or `ambiguous`, or in which the digest ends that needs no mail: each by the only transaction that
-- concerns that day, so that none waits for another.
create table public.shown_digests (
    reader_id  uuid not null,
    local_day  date not null,
    -- A minute before its task was created: what had ended by then is not among what the digest left out as undecided.
    began_at   timestamptz not null,
    written_at timestamptz not null,
    primary key (reader_id, local_day)
);

alter table public.shown_digests enable row level security;

-- From when on items are new to a reader who was shown no digest yet: set when the first is written.
alter table public.readers_private add column new_items_since timestamptz;

create function public.record_shown_digest(p_task_id uuid) returns void
language sql security invoker set search_path = '' as $$
    insert into public.shown_digests (reader_id, local_day, began_at, written_at)
    select d.reader_id, d.local_day, coalesce(t.created_at, d.created_at) - interval '1 minute', d.created_at
      from public.digests d left join public.tasks t using (task_id)
     where d.task_id = p_task_id and d.reader_id is not null and d.local_day is not null
    on conflict do nothing
$$;

create function public.record_sent_digest() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.record_shown_digest(new.digest_id);
    return null;
end
$$;

create trigger deliveries_record_sent
    after update of state on public.deliveries
    for each row when (new.kind = 'digest' and new.state in ('sent', 'ambiguous') and old.state is distinct from new.state)
    execute function public.record_sent_digest();

-- Without a mail, a digest is shown by being there; one that holds nothing has nothing left to be shown. Its name puts the trigger
-- after `digests_deliver`, which makes the delivery.
create function public.record_unsent_digest() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    if coalesce(new.digest -> 'keys', '[]') = '[]' or not exists (
        select from public.deliveries
         where reader_id = new.reader_id and kind = 'digest' and local_day = new.local_day)
    then
        perform public.record_shown_digest(new.task_id);
    end if;
    return null;
end
$$;

create trigger digests_record_shown after insert on public.digests
    for each row when (new.reader_id is not null and new.local_day is not null)
    execute function public.record_unsent_digest();

-- What there is already.
insert into public.shown_digests (reader_id, local_day, began_at, written_at)
select d.reader_id, d.local_day, coalesce(t.created_at, d.created_at) - interval '1 minute', d.created_at
  from public.digests d left join public.tasks t using (task_id)
 where d.reader_id is not null and d.local_day is not null
   and not exists (
    select from public.deliveries v
     where v.reader_id = d.reader_id and v.kind = 'digest' and v.local_day = d.local_day
       and v.state not in ('sent', 'ambiguous') and d.digest -> 'keys' <> '[]')
on conflict do nothing;

-- When the last digest was written that its reader was shown, or that had nothing to show; null: none was. A digest that was
-- written while an earlier mail was under way left out what stands in that mail, so if the mail was not sent in the end, the
-- later digest does not count either. Deliveries and tasks that retention has removed hold up nothing: they are older than
-- all that is looked at for a digest.
create or replace function public.last_digest(p_reader uuid) returns timestamptz
language sql stable security invoker set search_path = '' as $$
    select s.written_at
      from public.shown_digests s
     where s.reader_id = p_reader
       and not exists (
        select from public.deliveries v
         where v.reader_id = s.reader_id and v.kind = 'digest' and v.local_day < s.local_day
           and v.state not in ('sent', 'ambiguous')
           and (coalesce(v.ended_at > s.began_at, true)
                or (v.state = 'failed' and exists (
                    select from public.tasks t
                     where t.task_id = v.task_id and coalesce(t.finished_at > s.began_at, true)))))
     order by s.local_day desc limit 1
$$;

-- As before, but what is new to a reader who was shown nothing yet begins where the first digest began, however often its mail
-- is not sent. Removes what was shown so long before the last one that no late end of a mail can bring it back.
create or replace function public.news_of_reader(p_reader uuid) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    last timestamptz := public.last_digest(p_reader);
    since timestamptz := last;
begin
    if last is null then
        -- With the two days that public.news_for() adds, a first digest has a week.
        update public.readers_private set new_items_since = now() - interval '5 days'
         where reader_id = p_reader and new_items_since is null;
        select new_items_since into since from public.readers_private where reader_id = p_reader;
    end if;
    delete from public.shown_digests where reader_id = p_reader and written_at < last - interval '60 days';
    return public.news_for(p_reader, since)
        || jsonb_build_object('last_digest', last, 'papers', public.rated_papers(p_reader));
end
$$;

revoke all on public.shown_digests from public, anon, authenticated;
grant select, insert, update, delete on public.shown_digests to service_role;
revoke execute on function public.record_shown_digest, public.record_sent_digest, public.record_unsent_digest
    from public, anon, authenticated;
grant execute on function public.record_shown_digest, public.record_sent_digest, public.record_unsent_digest to service_role;
