revoke execute on function public.breaker_failure from public, anon, authenticated;

grant execute on function public.breaker_failure to service_role;
