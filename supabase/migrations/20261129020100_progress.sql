-- A task's progress never goes backwards.
--
-- Another attempt, a snooze and a worker's loss set progress to 0, and a handler that runs again reports 0.1 after 0.9. Whoever watches the
-- task is shown the greatest progress of all its attempts instead; `message` says what happens now, `attempt` which attempt it is. A replay
-- of a task that failed permanently begins at 0.

-- One rule for all functions that write progress. The condition is checked without a call, so an update that does not lower it costs nothing.
create function public.keep_progress() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    new.progress := old.progress;
    return new;
end
$$;

create trigger queue_keep_progress before update of progress on public.queue
    for each row when (new.progress < old.progress and (new.dead_letter or not old.dead_letter))
    execute function public.keep_progress();

revoke execute on function public.keep_progress from public, anon, authenticated;

grant execute on function public.keep_progress to service_role;
