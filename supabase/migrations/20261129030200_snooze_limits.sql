revoke execute on function public.snooze_limit from public, anon, authenticated;

grant execute on function public.snooze_limit to service_role;
