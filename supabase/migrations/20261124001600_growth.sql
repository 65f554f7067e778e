-- A new installation's first readers, papers and mails come as quickly as the last.
--
-- A plan that was made for 60 rows was kept while thousands came, until the next `analyze`: of 10,000 readers the last 500 took 2.4 s
-- in place of 0.1, 500 papers 1.3 s in place of 0.1, and to read 500 of a day's 10,000 papers 7 s in place of 0.1. What is named by key or id
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

-- Many rows in one statement: planned anew at each call, for as many as there are now.
alter function public.items_of_day(date, timestamptz, uuid, integer) set plan_cache_mode = force_custom_plan;

-- As before, but for how it is planned.
create or replace function public.put_readers(p_owner text, p_readers jsonb, p_change boolean) returns jsonb
language plpgsql security invoker set search_path = '' set enable_seqscan = off set plan_cache_mode = auto as $$
declare
    given jsonb;
    answers jsonb[] := '{}';
    turn integer;
begin
    -- Of a table without statistics every index that begins with the owner looks as good as the one that has all of a reader's name.
    -- So while there are none each reader is planned for anew, by as many as there are now, which takes twice as long.
    if (select reltuples < 0 from pg_catalog.pg_class where oid = 'public.readers'::regclass) then
        perform set_config('plan_cache_mode', 'force_custom_plan', true);
    end if;
    for given in select e from jsonb_array_elements(p_readers) with ordinality as l(e, place) order by place loop
        turn := 0;
        loop
            begin
                answers := answers || public.put_reader(p_owner, given, p_change);
                exit;
            exception
                -- Only what is wrong with this one; everything else ends the call. Another call may have made it just now.
                when data_exception or integrity_constraint_violation then
                    if sqlstate <> '23505' or turn > 0 then
                        answers := answers || jsonb_build_object('reader_id', null, 'outcome', 'refused', 'reason', sqlerrm);
                        exit;
                    end if;
                    turn := 1;
            end;
        end loop;
    end loop;
    return to_jsonb(answers);
end
$$;
