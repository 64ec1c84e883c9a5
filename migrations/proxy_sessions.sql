-- Sessions of the proxy outposts. Run by Core's migration and, under a transaction lock, by an outpost that finds the table missing;
-- :schema stands for the quoted schema name. Columns are only ever added. Nothing here is readable or forgeable without both the
-- browser's cookie and the provider's cookie secret.
create table if not exists :schema.proxy_sessions (
  key_hash   bytea primary key,
  client_id  text not null,
  sid_hash   bytea,
  user_hash  bytea not null,
  sealed     bytea not null,
  created_at timestamptz not null,
  expires_at timestamptz not null
) with (fillfactor = 100, autovacuum_vacuum_scale_factor = 0.05);
alter table :schema.proxy_sessions alter column sealed set storage external;
create index if not exists proxy_sessions_sid_hash on :schema.proxy_sessions (sid_hash);
create index if not exists proxy_sessions_user_hash on :schema.proxy_sessions (user_hash);
create index if not exists proxy_sessions_client_id on :schema.proxy_sessions (client_id);
create index if not exists proxy_sessions_expires_at on :schema.proxy_sessions (expires_at);
