-- Which addresses mail can be sent to: one rule for every writer of readers. app/mail_address.py has the same for the code.

-- Whether mail can be sent to p_address: RFC 5322's dot-atom before the @, and a host name of at most 63 characters a label after it.
-- Everything is ASCII: a domain of another script is stored as xn--..., which SQL cannot compute. Null for null.
create function public.is_mail_address(p_address text) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select char_length(p_address) <= 254 and char_length(split_part(p_address, '@', 1)) <= 64
       and p_address ~ ('^[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+)*'
           || '@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$')
$$;

alter table public.readers
    drop constraint readers_address_check,
    add constraint readers_address_check check (public.is_mail_address(address));

revoke execute on function public.is_mail_address from public, anon, authenticated;
-- Whoever writes a reader has its checks asked.
grant execute on function public.is_mail_address to authenticated, service_role;
