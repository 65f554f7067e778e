-- Digests: what a digest task wrote, apart from the task, whose result stays small.

create table public.digests (
    task_id     uuid primary key references public.tasks on delete cascade,
    owner       text not null,
    source_date date not null,
    digest      jsonb not null,
    page        text not null,
    created_at  timestamptz not null default now()
);

alter table public.digests enable row level security;
revoke all on public.digests from public, anon, authenticated;
grant select, insert, update, delete on public.digests to service_role;
