-- Who may open an application has changed: what is open at outposts was judged in the transaction of the change, and the worker judges
-- it once more, for logins that were under way at that moment and for what was too much to be done at once.
create table :schema.access_reviews (
  id           bigint generated always as identity primary key,
  applications uuid[] not null default '{}',
  users        integer[] not null default '{}',
  created_at   timestamptz not null default now()
);

create index oauth_access_tokens_provider on :schema.oauth_access_tokens (provider_id, user_id);
create index policy_bindings_expires on :schema.policy_bindings (expires_at) where expires_at is not null;
