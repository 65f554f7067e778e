-- A digest of a day that could not be read is not the digest of a day without news.

-- public.new_items_of_reader(), and besides: `unread`, whether no source has been read for p_source_date, and `day_left`, the seconds until
-- the reader's p_local_day ends by the reader's own clock. While the day's fetch has not finished, a source counts as read after two
-- minutes: when an outage ends, its sources come back one after the other.
create function public.scheduled_news(p_reader uuid, p_source_date date, p_local_day date) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    timezone text := (select r.timezone from public.readers r where r.reader_id = p_reader);
begin
    if not public.timezone_is_known(timezone) then
        timezone := 'UTC';
    end if;
    return public.new_items_of_reader(p_reader) || jsonb_build_object(
        'unread', p_source_date is not null and not exists (
            select from public.editions e where e.source_date = p_source_date and e.status in ('completed', 'partial'))
            and not exists (
            select from public.edition_sources s
             where s.source_date = p_source_date and s.read_at < now() - interval '2 minutes'),
        'day_left', coalesce(
            extract(epoch from (p_local_day + 1)::timestamp at time zone timezone - public.schedule_now()), 0));
end
$$;

revoke execute on function public.scheduled_news from public, anon, authenticated;

grant execute on function public.scheduled_news to service_role;
