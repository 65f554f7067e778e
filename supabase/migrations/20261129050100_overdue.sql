create index readers_due on public.readers (least(next_due_at, overdue_at), reader_id)
    where least(next_due_at, overdue_at) is not null;

-- A user's own change asks it, in public.schedule_reader(). It reads no table.
grant execute on function public.latest_occurrence to authenticated;
