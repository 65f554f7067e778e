-- Waiting: what has become of the tasks that somebody watches.

-- What is new of the tasks in p_known, {"<task_id>": "<version that the caller knows>"}: {"changed": [{version, task}],
-- "gone": [task_id]}. The ids come in the body and the answer is one document: neither an address nor a row limit cuts it. A
-- task has another version after every change that callers see; what none has is "".
create function public.watch_tasks(p_known jsonb) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
               'changed', coalesce(jsonb_agg(jsonb_build_object('version', v.version, 'task', to_jsonb(r)))
                   filter (where r.task_id is not null), '[]'),
               'gone', coalesce(jsonb_agg(k.key) filter (where r.task_id is null), '[]'))
      from jsonb_each_text(p_known) as k(key, version)
      left join public.task_records r on r.task_id = k.key::uuid
     cross join lateral (
        select hashtextextended(
                   row(r.status, r.updated_at, r.run_at, r.attempt, r.progress, r.cancel_requested)::text, 0)::text
            as version) v
     where r.task_id is null or v.version <> k.version
$$;

revoke execute on function public.watch_tasks from public, anon, authenticated;

grant execute on function public.watch_tasks to service_role;
