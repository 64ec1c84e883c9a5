// `/tasks/tasks/`: what waits, runs and has run, with its log; `/tasks/workers/`: who runs it.
import Type from 'typebox'
import type { Tx } from '../../pg/db.ts'
import type { Tasks } from '../../pg/tasks/tasks.ts'
import { liveWorkers } from '../../pg/tasks/workers.ts'
import { principalOf } from '../access.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { ApiError } from '../errors.ts'
import { audit } from './audit.ts'
import { registerResource } from './resource.ts'
import type { Resource } from './resource-definition.ts'
import { findFor, modelOf, write } from './resource-write.ts'
import { Empty, errorResponses, iso, isoOrNull, Json, listQuery, nullable, Time, Uuid } from './shapes.ts'
import {
  countByStatus,
  type TaskQuery,
  type TaskRow,
  taskConditions,
  taskOrdering,
  taskTable,
} from './tasks.sql.ts'
import { visibleRow } from './visible.sql.ts'

const states = [
  'queued',
  'consumed',
  'preprocess',
  'running',
  'postprocess',
  'rejected',
  'done',
  'cancelled',
] as const
/** A task that has ended also says how: by its worst log line. */
export const taskStatuses = [...states, 'info', 'warning', 'error'] as const

const text = Type.String()
const LogLine = Type.Object({ timestamp: Time, log_level: text, logger: text, event: text, attributes: Json })
const TaskBody = Type.Object({
  message_id: Uuid,
  queue_name: text,
  actor_name: text,
  state: text,
  mtime: Time,
  retries: Type.Integer(),
  eta: nullable(Time),
  rel_obj_app_label: text,
  rel_obj_model: text,
  rel_obj_id: nullable(text),
  uid: text,
  logs: Type.Array(LogLine),
  previous_logs: Type.Array(LogLine),
  aggregated_status: text,
  description: nullable(text),
})

const exactly = Type.Optional(Type.String())

export function taskResource(
  tasks: Pick<Tasks, 'actors'>,
): Resource<TaskRow, Record<string, never>, TaskQuery> {
  return {
    path: '/tasks/tasks/',
    parameter: ['message_id', Uuid],
    operation: 'tasks_tasks',
    app: 'authentik_tasks',
    model: 'task',
    body: TaskBody,
    query: listQuery({
      actor_name: exactly,
      aggregated_status: Type.Optional(Type.Array(Type.Enum([...taskStatuses]))),
      queue_name: exactly,
      rel_obj_content_type__app_label: exactly,
      rel_obj_content_type__model: exactly,
      rel_obj_id: exactly,
      rel_obj_id__isnull: Type.Optional(Type.Boolean()),
      state: Type.Optional(Type.Enum([...states])),
    }),
    table: taskTable,
    where: taskConditions,
    ordering: taskOrdering,
    defaultOrder: '-mtime',
    fromReplica: true,
    toBody: row => ({
      message_id: row.id,
      queue_name: row.queue,
      actor_name: row.actor,
      state: row.state,
      mtime: iso(row.modified_at),
      retries: row.retries,
      eta: isoOrNull(row.eta),
      rel_obj_app_label: row.object?.app ?? '',
      rel_obj_model: row.object?.model ?? '',
      rel_obj_id: row.object?.id ?? null,
      uid: row.uid === '' ? row.actor : `${row.actor}:${row.uid}`,
      logs: row.logs,
      previous_logs: row.previous_logs,
      aggregated_status: row.status,
      description: describe(row, tasks.actors.get(row.actor)?.description),
    }),
    label: row => ({ pk: row.id, name: row.actor }),
  }
}

/** Says what the states of the API have no word for. */
function describe(row: TaskRow, description: string | undefined): string | null {
  const notes: string[] = []
  if (row.state === 'queued' && row.retries > 0)
    notes.push(`waits to be tried again, ${row.retries} of ${row.retry_limit}`)
  if (row.state === 'running' && row.progress !== null)
    notes.push(`${row.progress.done} of ${row.progress.total}`)
  if (description === undefined) notes.push('no program here knows this actor')
  const all = [description, notes.length === 0 ? undefined : `(${notes.join('; ')})`].filter(
    part => part !== undefined,
  )
  return all.length === 0 ? null : all.join(' ')
}

export function registerTaskResource(app: CoreApp, core: Core, tasks: Tasks): void {
  const resource = taskResource(tasks)
  const count = Type.Integer()
  app.get(
    '/api/v3/tasks/tasks/status/',
    {
      config: { access: { permission: 'authentik_tasks.view_task' } },
      schema: {
        operationId: 'tasks_tasks_status_retrieve',
        tags: ['tasks'],
        response: {
          200: Type.Object(Object.fromEntries(taskStatuses.map(status => [status, count]))),
          ...errorResponses,
        },
      },
    },
    async () => {
      const counts = await countByStatus(core.db)
      return Object.fromEntries(taskStatuses.map(status => [status, counts[status] ?? 0]))
    },
  )
  registerResource(app, core, resource)
  const act = (
    verb: 'retry' | 'cancel',
    work: (tx: Tx, id: string) => Promise<boolean>,
    refusal: string,
  ): void => {
    const permission = `authentik_tasks.${verb}_task` as const
    app.post(
      `/api/v3/tasks/tasks/:message_id/${verb}/`,
      {
        config: { access: { object: permission } },
        schema: {
          operationId: `tasks_tasks_${verb}_create`,
          tags: ['tasks'],
          params: Type.Object({ message_id: Uuid }),
          response: { 204: Empty, ...errorResponses },
        },
      },
      async (request, reply) => {
        await write(core, request, async context => {
          const permitted = visibleRow(context.tx, principalOf(request), permission)
          const row = await findFor(resource, context.tx, request, permitted, false)
          if (!(await work(context.tx, row.id))) throw new ApiError(400, refusal, { code: 'invalid' })
          await audit(context, 'model_updated', modelOf(resource, row), { [verb]: true })
        })
        return reply.code(204).send()
      },
    )
  }
  act('retry', tasks.retry, 'This task cannot be run again now: it runs, or no program here knows its actor.')
  act('cancel', tasks.cancel, 'This task has ended already.')
}

export function registerWorkerRoute(app: CoreApp, core: Core): void {
  app.get(
    '/api/v3/tasks/workers/',
    {
      config: { access: { permission: 'authentik_rbac.view_system_info' } },
      schema: {
        operationId: 'tasks_workers_list',
        tags: ['tasks'],
        response: {
          200: Type.Array(Type.Object({ worker_id: text, version: text, version_matching: Type.Boolean() })),
          ...errorResponses,
        },
      },
    },
    async () =>
      (await liveWorkers(core.db)).map(worker => ({
        worker_id: `${worker.name}@${worker.id}`,
        version: worker.version,
        version_matching: worker.version === core.version,
      })),
  )
}
