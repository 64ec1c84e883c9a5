-- Media files: icons of applications, logos and backgrounds. The bytes are on the filesystem, under an address made of their hash; a
-- name is only what people and settings call them by, and never a path.
create table :schema.media_files (
  id         uuid primary key default gen_random_uuid(),
  name       text not null constraint media_files_name_key unique,
  -- <aa>/<sha256>.<extension>, below the media folder; several names may share one
  address    text not null,
  mime_type  text not null,
  size       integer not null,
  created_by integer references :schema.users on delete set null,
  created_at timestamptz not null default now()
);
create index media_files_address on :schema.media_files (address);
create index media_files_created_by on :schema.media_files (created_by);
