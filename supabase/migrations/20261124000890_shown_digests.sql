-- Which digests a reader was shown is a fact of its own, and where a first digest begins is another.
--
-- Until now both were read from digests, tasks and deliveries, which retention removes: a reader who returned after 30 days was
-- taken for a new one. And each day on which a new reader's first mail was not sent took a day from what was new.

-- One row for each digest that its reader was shown, or that had nothing to show. A row is inserted in the transaction in which
-- the delivery becomes `sent` or `in_doubt`, or in which the digest ends that needs no mail: each by the only transaction that
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

revoke all on public.shown_digests from public, anon, authenticated;

grant select, insert, update, delete on public.shown_digests to service_role;
