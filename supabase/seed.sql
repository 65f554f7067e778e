-- Sample data for development: two readers and an edition of invented papers and news. `supabase start`, `supabase db reset` and
-- preview branches of Supabase run this file after the migrations. `make migrate` never reads it.
--
-- `supabase db push --include-seed` and `supabase db reset --linked` also run it on a real project, so nothing here has an effect on
-- real readers:
--
-- - It changes nothing in a database that has been used: one with a reader, an edition, a task or a worker.
-- - The readers are paused, and their addresses end in .invalid, a domain that never exists (RFC 2606). They get no digests.
-- - The edition is older than any reader, so its items are new to nobody. They carry the category `broadsheet-sample`, by which digests
--   label them. The arXiv ids have month 13, which arXiv never assigns.
do $seed$
declare
    day constant date := '2026-01-05';
    given constant jsonb := $json$[
    {"source": "arxiv", "arxiv_id": "2513.90001", "kind": "paper", "categories": ["cs.LG"], "authors": ["Ada Sample", "Ben Sample"],
     "title": "Graph neural networks that explain which neighbours they ignored",
     "abstract": "Graph neural networks average over neighbours and hide which of them mattered. We train a layer that reports the neighbours whose messages it dropped. On three invented benchmarks the reports agree with ablations in 91 percent of cases, at no cost in accuracy."},
    {"source": "arxiv", "arxiv_id": "2513.90002", "kind": "paper", "categories": ["cs.RO"], "authors": ["Cora Sample"],
     "title": "A gripper that learns the weight of fruit from its first touch",
     "abstract": "Robots crush ripe fruit because they learn its weight too late. A tactile sensor and a small recurrent model estimate weight and softness within 40 milliseconds of contact. In 900 invented picks, bruises fell by two thirds."},
    {"source": "arxiv", "arxiv_id": "2513.90003", "kind": "paper", "categories": ["cs.CL"], "authors": ["Dan Sample", "Eve Sample"],
     "title": "Short answers first: language models that stop when they are sure",
     "abstract": "Language models write long answers to easy questions. A classifier on hidden states predicts whether more tokens would change the answer. It saves 38 percent of tokens on invented question sets without a loss of accuracy."},
    {"source": "arxiv", "arxiv_id": "2513.90004", "kind": "paper", "categories": ["stat.ML"], "authors": ["Finn Sample"],
     "title": "Calibrated forecasts for time series with missing sensors",
     "abstract": "Forecasts of a network of sensors become overconfident when sensors fail. We reweight conformal intervals by the pattern of missing values. Coverage stays within one point of its target on two invented data sets."},
    {"source": "arxiv", "arxiv_id": "2513.90005", "kind": "paper", "categories": ["q-bio.QM"], "authors": ["Gwen Sample", "Hal Sample"],
     "title": "Counting cells in noisy microscope images with ten labels",
     "abstract": "Counting cells usually needs thousands of labelled images. A model that is trained on simulated noise needs ten. On invented images of yeast its counts differ from those of experts by three percent."},
    {"source": "feed:sample", "external_id": "n1", "kind": "news",
     "title": "Sample news: a robot picked strawberries for a whole week", "categories": ["Robotics"],
     "abstract": "The invented machine worked at night, left unripe fruit on the plant and stopped only when it ran out of boxes."},
    {"source": "feed:sample", "external_id": "n2", "kind": "news",
     "title": "Sample news: why graph neural networks forget their neighbours", "categories": ["Machine learning"],
     "abstract": "An invented study of forty models finds that most messages between distant nodes never arrive."}
    ]$json$;
    articles jsonb;
begin
    -- Two runs at the same time: the second one waits here, then sees the readers of the first.
    lock table public.readers in share row exclusive mode;
    if exists (select from public.readers) or exists (select from public.editions)
       or exists (select from public.tasks) or exists (select from public.workers) then
        raise notice 'supabase/seed.sql: this database has been used, so no sample data was added';
        return;
    end if;
    -- The keys are those of app/models/item_keys.py, strongest first.
    select jsonb_agg(
               jsonb_build_object('external_id', a ->> 'arxiv_id', 'authors', '[]'::jsonb)
               || a
               || jsonb_build_object(
                   'url', 'https://example.org/broadsheet-sample/' || coalesce(a ->> 'arxiv_id', a ->> 'external_id'),
                   'categories', (a -> 'categories') || '["broadsheet-sample"]'::jsonb,
                   'published_at', (day + interval '9 hours') at time zone 'UTC',
                   'keys', jsonb_build_array(
                       coalesce('arxiv:' || (a ->> 'arxiv_id'), 'from:' || left(encode(sha256(
                           convert_to((a ->> 'source') || E'\n' || (a ->> 'external_id'), 'UTF8')), 'hex'), 32)),
                       'title:' || left(encode(sha256(
                           convert_to(regexp_replace(lower(a ->> 'title'), '[^a-z0-9]', '', 'g'), 'UTF8')), 'hex'), 32))))
      into articles
      from jsonb_array_elements(given) as a;
    perform public.begin_edition(day);
    perform public.save_articles(day, articles);
    perform public.finish_edition(day, 'completed', '{}');
    update public.items set first_seen = (day + interval '12 hours') at time zone 'UTC'
     where item_id in (select a.item_id from public.articles a where a.source_date = day);
    insert into public.readers (external_id, name, email, profile, timezone, send_at, weekdays, status, status_reason) values
        ('sample-ada', 'Ada Sample', 'ada@example.invalid',
         '{"interests": ["graph neural networks", "language models"], "categories": ["cs.LG", "cs.CL"]}',
         'Europe/Berlin', '07:00', '{1,2,3,4,5}', 'paused', 'A sample reader of supabase/seed.sql'),
        ('sample-ben', 'Ben Sample', 'ben@example.invalid',
         '{"title": "Field robotics", "interests": ["robot grippers", "tactile sensors"], "exclude": ["blockchain"]}',
         'America/New_York', '08:30', '{1,2,3,4,5,6,7}', 'paused', 'A sample reader of supabase/seed.sql');
end
$seed$;
