-- Lists may be read from a standby. Up to which position of the primary's log a standby must have come before this session or token is
-- shown anything there: the end of its own last write. No index, so that an update stays in its page.
alter table :schema.sessions add column read_after pg_lsn;
alter table :schema.tokens add column read_after pg_lsn;

-- What outposts report stands beside events in one list; a standby has no unlogged tables.
alter table :schema.outpost_instances set logged;
