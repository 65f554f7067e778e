-- pgTAP tests of privileges, run by `supabase test db`: each table and function of the schema can be used by the server's role, and by
-- anon and authenticated only where this file says so.
begin;
set local search_path = public, extensions;
select * from no_plan();

-- Extensions that an operator installs in the schema are not ours.
create view pg_temp.relations as
    select c.oid, c.relname, c.relkind from pg_catalog.pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
       and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e');
create view pg_temp.functions as
    select p.oid, p.proname, p.prosecdef, p.proconfig from pg_catalog.pg_proc p
     where p.pronamespace = 'public'::regnamespace
       and not exists (select from pg_catalog.pg_depend d where d.objid = p.oid and d.deptype = 'e');
-- Who may do what with a relation, or with one of its columns.
create view pg_temp.rights as
    select r.relname, role.name as role, privilege.name as privilege
      from pg_temp.relations r
     cross join (values ('anon'), ('authenticated')) as role(name)
     cross join (values ('select'), ('insert'), ('update'), ('delete'), ('truncate'), ('references'), ('trigger')) as privilege(name)
     where r.relkind <> 'S' and has_table_privilege(role.name, r.oid, privilege.name);
create view pg_temp.column_rights as
    select r.relname || '.' || a.attname as column_name, role.name as role, privilege.name as privilege
      from pg_temp.relations r join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
     cross join (values ('anon'), ('authenticated')) as role(name)
     cross join (values ('select'), ('insert'), ('update'), ('references')) as privilege(name)
     where r.relkind <> 'S' and has_column_privilege(role.name, r.oid, a.attnum, privilege.name)
       and not has_table_privilege(role.name, r.oid, privilege.name);

select isnt_empty('select from pg_temp.relations', 'the schema has tables');
select isnt_empty('select from pg_temp.functions', 'the schema has functions');

select is_empty(
    $$ select r.relname, a.privilege_type from pg_temp.relations r join pg_catalog.pg_class c on c.oid = r.oid
        cross join lateral pg_catalog.aclexplode(c.relacl) a where a.grantee in (0, 'anon'::regrole) $$,
    'nothing is granted to everybody');
select is_empty($$ select relname, privilege from pg_temp.rights where role = 'anon' $$, 'anon has no right on any table');
select is_empty($$ select column_name, privilege from pg_temp.column_rights where role = 'anon' $$, 'anon has no right on any column');
select set_eq(
    $$ select relname || ' ' || privilege from pg_temp.rights where role = 'authenticated' $$,
    array['readers select', 'digests select', 'reader_papers select'],
    'users read three tables, as their policies allow');
select set_eq(
    $$ select column_name || ' ' || privilege from pg_temp.column_rights where role = 'authenticated' $$,
    array[
        'readers.profile update', 'readers.timezone update', 'readers.send_at update', 'readers.weekdays update',
        'readers.when_empty update'],
    'users change only their preferences and schedule');
select is_empty(
    $$ select r.relname, role.name from pg_temp.relations r cross join (values ('anon'), ('authenticated')) as role(name)
        where r.relkind = 'S' and has_sequence_privilege(role.name, r.oid, 'usage, select, update') $$,
    'no sequence can be used from browsers');
select is_empty(
    $$ select role.name from (values ('anon'), ('authenticated')) as role(name) where has_schema_privilege(role.name, 'public', 'create') $$,
    'nothing can be created from browsers');
select is_empty(
    $$ select r.relname, p.name from pg_temp.relations r cross join (values ('select'), ('insert'), ('update'), ('delete')) as p(name)
        where r.relkind in ('r', 'p') and not has_table_privilege('service_role', r.oid, p.name) $$,
    'the server reads and writes every table');

select is_empty(
    $$ select oid::regprocedure from pg_temp.functions where has_function_privilege('anon', oid, 'execute') $$,
    'anon can execute no function');
-- The checks that a user's own write calls; none of them reads a table.
select set_eq(
    $$ select proname::text from pg_temp.functions where has_function_privilege('authenticated', oid, 'execute') $$,
    array[
        'text_is_valid', 'texts_are_valid', 'count_is_valid', 'profile_is_valid', 'weekdays_are_valid', 'is_mail_address',
        'schedule_now', 'timezone_is_known', 'timezone_problem', 'next_occurrence', 'latest_occurrence'],
    'users can execute only the checks of their own changes');
select is_empty(
    $$ select oid::regprocedure from pg_temp.functions where not has_function_privilege('service_role', oid, 'execute') $$,
    'the server can execute every function');
select is_empty(
    $$ select oid::regprocedure from pg_temp.functions where prosecdef $$, 'every function has the rights of its caller');
select is_empty(
    $$ select oid::regprocedure from pg_temp.functions where not coalesce('search_path=""' = any (proconfig), false) $$,
    'every function has an empty search_path');

select * from finish();
rollback;
