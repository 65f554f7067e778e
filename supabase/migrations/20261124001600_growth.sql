-- A new installation's first readers, papers and mails come as quickly as the last.
--
-- A plan that was made for 60 rows was kept while thousands came, until the next `analyze`: of 10,000 readers the last 500 took 2.4 s
-- in place of 0.3, 500 papers 1.3 s in place of 0.1, and to read a day of 10,000 papers 8 s in place of 0.1. What is named by key or id
-- is looked up by it, whatever statistics say: no table is read or hashed whole.

alter function public.save_articles(date, jsonb)
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off;
alter function public.put_reader_papers(uuid, jsonb)
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off;
alter function public.said_of_papers(uuid, jsonb)
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off;
alter function public.note_looked_up(text[], jsonb)
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off;
alter function public.begin_sending(uuid, uuid, double precision)
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off;

-- Of a table without statistics every index that begins with the owner looks as good as the one that has all of a reader's name. And
-- what reads many rows needs the plan for as many as there are now: planned anew, a call costs half a millisecond more at most for each
-- reader that it is given.
alter function public.put_readers(text, jsonb, boolean) set plan_cache_mode = force_custom_plan;
alter function public.items_of_day(date, timestamptz, uuid, integer) set plan_cache_mode = force_custom_plan;
