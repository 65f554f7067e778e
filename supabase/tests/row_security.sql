-- pgTAP tests of row security, run by `supabase test db`. anon and users without a reader see no row of any table.
begin;
set local search_path = public, extensions;
select * from no_plan();

-- Extensions that an operator installs in the schema are not ours.
create view pg_temp.relations as
    select c.oid, c.relname, c.relkind, c.relrowsecurity, c.reloptions
      from pg_catalog.pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
       and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e');
grant select on pg_temp.relations to anon, authenticated;

select isnt_empty('select from pg_temp.relations', 'the schema has tables');
select is_empty(
    $$ select relname from pg_temp.relations where relkind in ('r', 'p') and not relrowsecurity order by relname $$,
    'every table has row security');
select is_empty(
    $$ select relname from pg_temp.relations
        where relkind = 'v' and not coalesce(reloptions @> '{security_invoker=on}', false) order by relname $$,
    'every view has the rights of its caller');
select is_empty(
    $$ select relname from pg_temp.relations where relkind in ('m', 'f') order by relname $$,
    'nothing is readable without row security');
select set_eq(
    $$ select tablename || ': ' || policyname || ' for ' || lower(cmd) || ' to ' || array_to_string(roles, ', ')
         from pg_catalog.pg_policies where schemaname = 'public' $$,
    array[
        'readers: own_reader_read for select to authenticated', 'readers: own_reader_change for update to authenticated',
        'digests: own_digests_read for select to authenticated', 'reader_papers: own_papers_read for select to authenticated'],
    'only these policies exist');

-- Two users with a reader and a digest each.
insert into public.readers (reader_id, user_id, external_id, name, email) values
    ('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-0000000000aa', 'tap-a', 'Ada', 'ada@example.invalid'),
    ('00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-0000000000bb', 'tap-b', 'Ben', 'ben@example.invalid');
insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest) values
    ('00000000-0000-4000-8000-0000000000da', 'default', '2026-01-05', '00000000-0000-4000-8000-00000000000a', '2026-01-06', '{"introduction": "a"}'),
    ('00000000-0000-4000-8000-0000000000db', 'default', '2026-01-05', '00000000-0000-4000-8000-00000000000b', '2026-01-06', '{"introduction": "b"}');

set local role anon;
select throws_ok(format('select from public.%I', relname), '42501', null, 'anon cannot read ' || relname)
  from pg_temp.relations order by relname;

set local role authenticated;
select throws_ok(format('select from public.%I', relname), '42501', null, 'users cannot read ' || relname)
  from pg_temp.relations where relname not in ('readers', 'digests', 'reader_papers') order by relname;
select is_empty('select reader_id from public.readers', 'without a sign-in, no reader is seen');
select is_empty('select task_id from public.digests', 'without a sign-in, no digest is seen');
select is_empty('select from public.reader_papers', 'without a sign-in, no paper is seen');

select set_config('request.jwt.claims', '{"sub": "00000000-0000-4000-8000-0000000000aa", "role": "authenticated"}', true);
select results_eq('select external_id from public.readers', array['tap-a'], 'users see their own reader');
select results_eq($$ select digest ->> 'introduction' from public.digests $$, array['a'], 'users see their own digests');
select lives_ok(
    $$ update public.readers set profile = '{"interests": ["soil"]}' where external_id like 'tap-%' $$,
    'users change their profile');
-- The trigger of confirmations refuses this too, so an attempt would not show the right.
select ok(
    not has_column_privilege('authenticated', 'public.readers', 'email', 'update'), 'users cannot change their address');
select throws_ok(
    $$ update public.readers set status = 'active' where external_id = 'tap-a' $$, '42501', null,
    'users cannot change their status');
select throws_ok('delete from public.readers where true', '42501', null, 'users cannot remove readers');

reset role;
select is_empty(
    $$ select from public.readers where external_id = 'tap-b' and profile <> '{}' $$,
    'users cannot change the profile of others');
select results_eq(
    $$ select profile ->> 'interests' from public.readers where external_id = 'tap-a' $$, array['["soil"]'],
    'the change of the own profile is stored');

select * from finish();
rollback;
