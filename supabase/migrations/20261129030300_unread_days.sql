-- A digest of a day that could not be read is not the digest of a day without news.

-- public.news_of_reader(), and besides: `unread`, whether no source has been read for p_source_date, and `day_left`, the seconds until
-- the reader's p_local_day ends by the reader's own clock. While the day's fetch has not finished, a source counts as read after two
-- minutes: when an outage ends, its sources come back one after the other.
create function public.scheduled_news(p_reader uuid, p_source_date date, p_local_day date) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    zone text := (select r.zone from public.readers r where r.reader_id = p_reader);
begin
    if not public.zone_is_known(zone) then
        zone := 'UTC';
    end if;
    return public.news_of_reader(p_reader) || jsonb_build_object(
        'unread', p_source_date is not null and not exists (
            select from public.editions e where e.source_date = p_source_date and e.status in ('completed', 'partial'))
            and not exists (
            select from public.edition_sources s
             where s.source_date = p_source_date and s.read_at < now() - interval '2 minutes'),
        'day_left', coalesce(
            extract(epoch from (p_local_day + 1)::timestamp at time zone zone - public.schedule_now()), 0));
end
$$;

-- As before, but for the reason: what could not be read may have had something new.
create or replace function public.deliver_digest() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    perform public.make_delivery(
        r.owner, r.reader_id, 'digest', new.local_day, new.task_id,
        (t.payload #>> '{scheduled,next_due_at}')::timestamptz,
        case when r.on_nothing = 'nothing' and new.digest -> 'papers' = '[]' and new.digest -> 'news' = '[]'
             then case new.digest ->> 'edition_status'
                      when 'failed' then 'no source could be read'
                      when 'partial' then 'there was nothing new in the sources that could be read'
                      else 'there was nothing new'
                  end
        end)
       from public.readers r, public.tasks t
      where r.reader_id = new.reader_id and r.address is not null and t.task_id = new.task_id;
    if not found then
        perform public.mark_shown(new.reader_id, array(select jsonb_array_elements_text(new.digest -> 'keys')));
    end if;
    return null;
end
$$;

revoke execute on function public.scheduled_news from public, anon, authenticated;
grant execute on function public.scheduled_news to service_role;
