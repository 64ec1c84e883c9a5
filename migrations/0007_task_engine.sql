-- Tasks: cancelling, a clock of schedules that is ours, progress of tasks that go through pages, one run of a key at a time.

alter table :schema.task_runs add column abandoned boolean not null default false;
alter table :schema.task_rollups
  add column cancelled bigint not null default 0,
  add column abandoned bigint not null default 0;
alter table :schema.task_totals
  add column cancelled bigint not null default 0,
  add column abandoned bigint not null default 0,
  -- tasks that were not filed because one that waits does their work
  add column deduplicated bigint not null default 0;

alter table :schema.task_schedules
  -- null: to be computed by the next worker that looks
  add column next_run_at timestamptz,
  add column last_run_at timestamptz,
  -- what becomes of times nobody was there for: none, once, all
  add column catch_up text not null default 'once',
  -- runs start up to this much later, never more than a twentieth of the time between two
  add column jitter_seconds integer not null default 0;

-- A task that works through many objects page by page, perhaps with others that help; one row each while it lasts.
create table :schema.task_fan_outs (
  -- of the task
  id         uuid primary key,
  total      bigint not null,
  done       bigint not null default 0,
  -- where the last page that was handed out ended
  position   text,
  -- every page has been handed out
  exhausted  boolean not null default false,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
-- Pages handed out and not finished. One whose holder is gone is handed out again.
create table :schema.task_fan_out_pages (
  fan_out uuid not null references :schema.task_fan_outs on delete cascade,
  number  bigint generated always as identity,
  -- keys of the objects, in order
  keys    text[] not null,
  holder  uuid not null,
  attempt integer not null,
  primary key (fan_out, number)
);

-- Of jobs that share a key one runs at a time. Where several run now the later ones lose their claim, which their workers notice.
lock table :pgboss.job_common in share row exclusive mode;
update :pgboss.job_common j set state = 'retry', start_after = now()
where j.state = 'active' and j.singleton_key <> j.id::text and exists (
  select from :pgboss.job_common o where o.name = j.name and o.singleton_key = j.singleton_key and o.state = 'active' and o.id < j.id);
create unique index task_key_running on :pgboss.job_common (name, singleton_key) where state = 'active' and singleton_key <> id::text;
create index task_key_again on :pgboss.job_common (name, singleton_key) where state = 'retry' and singleton_key <> id::text;

create or replace view :schema.tasks as
select j.id, j.name as queue, j.data ->> 'actor' as actor, coalesce(j.data -> 'payload', '{}') as payload,
       coalesce(j.data ->> 'uid', '') as uid, j.data -> 'object' as object, j.priority,
       case j.state when 'active' then 'running' when 'created' then 'queued' when 'retry' then 'queued'
                    when 'cancelled' then 'cancelled' else 'rejected' end as state,
       case j.state when 'active' then 'running' when 'created' then 'queued' when 'retry' then 'queued'
                    when 'cancelled' then 'cancelled' when 'failed' then 'error' else 'rejected' end as status,
       coalesce(j.completed_on, j.started_on, j.created_on) as modified_at, j.retry_count as retries, j.retry_limit,
       case when j.state < 'active' and j.start_after > j.created_on then j.start_after end as eta,
       j.created_on as created_at, j.output, null::uuid as last_run
from :pgboss.job j
where j.data ? 'actor'
union all
select r.task_id, r.queue, r.actor, r.payload, r.uid, r.object, r.priority, r.state, r.status,
       r.finished_at, r.attempt, r.attempt, null, r.created_at, r.result, r.id
from :schema.task_runs r
where r.final;
