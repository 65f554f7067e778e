-- What is named by id is found by id, whatever statistics say of its table.
--
-- A plan that was made while a table held a few rows, as after a quiet hour, was kept while thousands came: for each id it read the whole
-- index, and 100 outcomes took 130 ms in place of 2 until the next `analyze`. A bitmap scan cannot be without a condition on the index, so
-- where it is the only way left, no such plan exists.

alter function public.complete_tasks(uuid, jsonb, timestamptz)
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on;
alter function public.apply_outcomes(uuid, jsonb, timestamptz)
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on;
alter function public.verdicts(jsonb)
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on;
alter function public.describe_claimed(uuid, uuid, uuid[])
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on;
alter function public.note_progress(uuid, jsonb, timestamptz)
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on;

-- Operators replay rarely: here the settings of `sync_worker` come with it.
alter function public.reopen_tasks(uuid[])
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
    set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on set jit = off;
