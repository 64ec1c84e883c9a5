-- What processes share besides data: who is alive, who may do exclusive work, and messages too large for a notification.

-- One row per running process, renewed every ten seconds; lost in a crash of the server, and written again by the next renewal.
create unlogged table :schema.nodes (
  id         uuid primary key,
  name       text not null,
  kind       text not null,
  version    text not null,
  info       jsonb not null default '{}',
  started_at timestamptz not null default now(),
  seen_at    timestamptz not null default now()
) with (fillfactor = 50);

-- Exclusive work for a while. Logged, and rows are never deleted, so that a fence never goes back.
create table :schema.leases (
  key         text primary key,
  holder      uuid not null,
  node        uuid not null,
  fence       bigint not null,
  info        jsonb not null default '{}',
  acquired_at timestamptz not null default now(),
  expires_at  timestamptz not null
) with (fillfactor = 50);

-- Bodies of messages that do not fit into a notification; deleted after a minute.
create unlogged table :schema.bus_blobs (
  id         bigint generated always as identity primary key,
  body       text not null,
  created_at timestamptz not null default now()
);

-- include: proxy_sessions.sql
