-- Digests: what a digest task wrote, apart from the task, whose result stays small.
create table public.digests (
    task_id     uuid primary key,
    owner       text not null,
    source_date date not null,
    -- Whose it is, and of which of the reader's days, if a schedule asked for it.
    reader_id   uuid,
    local_day   date,
    digest      jsonb not null,
    page        text not null,
    created_at  timestamptz not null default now(),
    papers integer,
    news integer,
    first_title text
);

create index digests_of_reader on public.digests (reader_id, local_day desc) where reader_id is not null;

alter table public.digests enable row level security;

revoke all on public.digests from public, anon, authenticated;

grant select, insert, update, delete on public.digests to service_role;
