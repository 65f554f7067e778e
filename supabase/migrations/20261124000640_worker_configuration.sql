create table public.worker_configuration (
    worker_id      uuid primary key,
    -- The settings that it lacks, each with what does not work without it: {"MAIL_URL": "..."}.
    not_configured jsonb not null,
    reported_at    timestamptz not null default now()
);

alter table public.worker_configuration enable row level security;

-- Records what a worker lacks. Reports of workers that are gone are removed a day later, some of them a call.
create function public.report_configuration(p_worker uuid, p_not_configured jsonb) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    insert into public.worker_configuration as c (worker_id, not_configured) values (p_worker, p_not_configured)
        on conflict (worker_id) do update set not_configured = excluded.not_configured, reported_at = excluded.reported_at
        where c.not_configured is distinct from excluded.not_configured;
    with gone as materialized (
        select c.worker_id from public.worker_configuration c
         where c.reported_at < now() - interval '1 day'
           and not exists (select from public.workers w where w.worker_id = c.worker_id)
         order by c.worker_id limit 1000 for update of c skip locked)
    delete from public.worker_configuration c using gone where c.worker_id = gone.worker_id;
end
$$;

revoke all on public.worker_configuration from public, anon, authenticated;

grant select, insert, update, delete on public.worker_configuration to service_role;

revoke execute on function public.report_configuration from public, anon, authenticated;

grant execute on function public.report_configuration to service_role;
