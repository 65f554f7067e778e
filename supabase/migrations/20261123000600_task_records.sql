-- What a poll reads: a task without its payload and result, which can be large. A view, so that the request need not name
-- seventeen columns: that is a tenth of a poll's CPU time in the client, and as much again where the request is read.
create view public.task_records with (security_invoker = on) as
    select task_id, kind, status, priority, run_at, error, message, progress, source_date, callback_url, attempt,
           max_attempts, cancel_requested, created_at, started_at, updated_at, finished_at
      from public.tasks;

create or replace function public.schema_version() returns integer
language sql immutable security invoker set search_path = '' as $$ select 2 $$;

revoke all on public.task_records from public, anon, authenticated;
grant select on public.task_records to service_role;
