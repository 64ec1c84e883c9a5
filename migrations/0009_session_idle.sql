-- A session whose cookie lives until the browser is closed ends earlier when nobody uses it. Null: only expires_at counts. Compared with
-- last_used_at, which is written without touching an index.
alter table :schema.sessions add column idle_limit interval;
