-- What may be lost and made again: values kept for a while across processes. A crash empties it, a standby does not have it.

-- Keys are hashes that contain the generation of their namespace, so old values are simply never asked for again. No index on the
-- expiry: updates stay in their page.
create unlogged table :schema.cache_entries (
  key           bytea primary key,
  value         bytea not null,
  -- how long making it took; costly values are made anew a little earlier
  load_ms       integer not null,
  -- from here on somebody makes it anew, and the others still use it
  soft_at       timestamptz not null,
  expires_at    timestamptz not null,
  -- somebody is making it
  claimed_until timestamptz not null default '-infinity'
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
alter table :schema.cache_entries alter column value set storage external;

-- Raised to forget everything of a namespace at once. Logged: a lower number would bring old values back.
create table :schema.cache_generations (
  namespace  text primary key,
  generation bigint not null
) with (fillfactor = 50);
