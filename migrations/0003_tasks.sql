-- Background tasks. pg-boss keeps waiting and running jobs and the clock of schedules in a schema of its own (:pgboss); ours are the
-- history of runs, their log lines, the figures made of them, and what an administrator may change about a schedule.

-- One row per run of a task that has ended. A task that is tried again has several; `final` marks the one that settled it.
-- Partitions of a day each are made and dropped by the worker.
create table :schema.task_runs (
  finished_at timestamptz not null,
  id          uuid not null,
  task_id     uuid not null,
  queue       text not null,
  actor       text not null,
  payload     jsonb not null,
  uid         text not null default '',
  object      jsonb,
  priority    integer not null default 0,
  attempt     integer not null,
  final       boolean not null,
  -- words of the API: done, rejected
  state       text not null,
  -- words of the API: worst log line, else the state
  status      text not null,
  -- the run before this one ended with its worker
  after_loss  boolean not null default false,
  error       text,
  result      jsonb,
  node        text not null,
  created_at  timestamptz not null,
  started_at  timestamptz not null,
  duration_ms double precision not null,
  primary key (finished_at, id)
) partition by range (finished_at);
create index task_runs_task on :schema.task_runs (task_id);
create index task_runs_actor on :schema.task_runs (actor, finished_at desc) where final;

create table :schema.task_logs (
  at         timestamptz not null,
  seq        integer not null,
  run_id     uuid not null,
  task_id    uuid not null,
  level      text not null,
  logger     text not null,
  event      text not null,
  attributes jsonb not null default '{}'
) partition by range (at);
create index task_logs_task on :schema.task_logs (task_id, at);

-- Runs per minute and actor; `histogram` counts durations up to each bound the program knows, the last one all longer ones.
create table :schema.task_rollups (
  minute    timestamptz not null,
  queue     text not null,
  actor     text not null,
  runs      bigint not null,
  errors    bigint not null,
  retries   bigint not null,
  rejected  bigint not null,
  lost      bigint not null,
  sum_ms    double precision not null,
  histogram bigint[] not null,
  primary key (minute, queue, actor)
) partition by range (minute);

-- The same since the beginning, so that counters survive restarts and retention.
create table :schema.task_totals (
  queue     text not null,
  actor     text not null,
  runs      bigint not null default 0,
  errors    bigint not null default 0,
  retries   bigint not null default 0,
  rejected  bigint not null default 0,
  lost      bigint not null default 0,
  sum_ms    double precision not null default 0,
  histogram bigint[] not null,
  primary key (queue, actor)
);
-- Runs that ended before this minute are in task_rollups and task_totals, later ones only in task_runs.
create table :schema.task_rollup_state (
  singleton    boolean primary key default true check (singleton),
  rolled_until timestamptz not null
);
insert into :schema.task_rollup_state (rolled_until) values (date_trunc('minute', now()));

create table :schema.task_schedules (
  id         uuid primary key default gen_random_uuid(),
  -- `<actor>` for the one that comes with the program
  identifier text not null unique,
  actor      text not null,
  payload    jsonb not null default '{}',
  crontab    text not null,
  timezone   text not null default 'UTC',
  paused     boolean not null default false,
  -- an administrator chose the crontab; a new version of the program leaves it alone
  edited     boolean not null default false,
  object     jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

-- include: pgboss.sql

-- One job of a key waits, any number run.
select :pgboss.create_queue('default', '{"policy": "short"}'), :pgboss.create_queue('slow', '{"policy": "short"}');

-- What has not ended yet, then what has, in the words of the API.
create view :schema.tasks as
select j.id, j.name as queue, j.data ->> 'actor' as actor, coalesce(j.data -> 'payload', '{}') as payload,
       coalesce(j.data ->> 'uid', '') as uid, j.data -> 'object' as object, j.priority,
       case j.state when 'active' then 'running' when 'created' then 'queued' when 'retry' then 'queued' else 'rejected' end as state,
       case j.state when 'active' then 'running' when 'created' then 'queued' when 'retry' then 'queued'
                    when 'failed' then 'error' else 'rejected' end as status,
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
