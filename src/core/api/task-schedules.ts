// `/tasks/schedules/`: when tasks run by themselves. They come with the program; an administrator may change when, pause one, or run
// it now.
import Type, { type Static } from 'typebox'
import type { Tasks } from '../../pg/tasks/tasks.ts'
import { nextTimes, ScheduleError } from '../../pg/tasks/timetable.ts'
import { principalOf } from '../access.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { ApiError, invalid } from '../errors.ts'
import { audit } from './audit.ts'
import { registerResource } from './resource.ts'
import type { Resource } from './resource-definition.ts'
import { findFor, modelOf, write } from './resource-write.ts'
import { Empty, errorResponses, listQuery, nullable, Time, Uuid } from './shapes.ts'
import {
  type TaskScheduleQuery,
  type TaskScheduleRow,
  taskScheduleConditions,
  taskScheduleOrdering,
  taskScheduleTable,
} from './task-schedules.sql.ts'
import { visibleRow } from './visible.sql.ts'

const text = Type.String()
const ScheduleBody = Type.Object({
  id: Uuid,
  identifier: nullable(text),
  uid: text,
  actor_name: text,
  rel_obj_app_label: text,
  rel_obj_model: text,
  rel_obj_id: nullable(text),
  crontab: text,
  paused: Type.Boolean(),
  next_run: Time,
  description: nullable(text),
  last_task_status: nullable(text),
})
const ScheduleInput = Type.Object({
  crontab: Type.String({ minLength: 1, maxLength: 200 }),
  paused: Type.Optional(Type.Boolean()),
  /** accepted from clients that send the whole object back; what a schedule is about does not change */
  rel_obj_id: Type.Optional(nullable(text)),
})
type ScheduleInput = Static<typeof ScheduleInput>

const exactly = Type.Optional(Type.String())
/** Shown while a schedule is paused. */
const never = new Date(0)

export function scheduleResource(
  tasks: Pick<Tasks, 'actors' | 'changeSchedule'>,
): Resource<TaskScheduleRow, ScheduleInput, TaskScheduleQuery> {
  return {
    path: '/tasks/schedules/',
    parameter: ['id', Uuid],
    operation: 'tasks_schedules',
    app: 'authentik_tasks_schedules',
    model: 'schedule',
    body: ScheduleBody,
    write: ScheduleInput,
    query: listQuery({
      actor_name: exactly,
      paused: Type.Optional(Type.Boolean()),
      rel_obj_content_type__app_label: exactly,
      rel_obj_content_type__model: exactly,
      rel_obj_id: exactly,
      rel_obj_id__isnull: Type.Optional(Type.Boolean()),
    }),
    table: taskScheduleTable,
    where: taskScheduleConditions,
    ordering: taskScheduleOrdering,
    toBody: row => ({
      id: row.id,
      identifier: row.identifier === row.actor ? null : row.identifier,
      uid: row.identifier === row.actor ? row.actor : `${row.actor}:${row.identifier}`,
      actor_name: row.actor,
      rel_obj_app_label: row.object?.app ?? '',
      rel_obj_model: row.object?.model ?? '',
      rel_obj_id: row.object?.id ?? null,
      crontab: row.crontab,
      paused: row.paused,
      next_run: (row.paused ? never : nextOf(row)).toISOString(),
      description: tasks.actors.get(row.actor)?.description ?? null,
      last_task_status: row.last_task_status,
    }),
    label: row => ({ pk: row.id, name: row.identifier }),
    async update({ tx }, row, input) {
      try {
        await tasks.changeSchedule(tx, row.id, {
          crontab: input.crontab,
          paused: input.paused,
        })
        return {}
      } catch (error) {
        if (error instanceof ScheduleError) throw invalid({ crontab: error.message })
        throw error
      }
    },
  }
}

function nextOf(row: TaskScheduleRow): Date {
  return row.next_run_at ?? nextTimes(row.crontab, row.timezone)[0] ?? never
}

export function registerScheduleRoutes(app: CoreApp, core: Core, tasks: Tasks): void {
  const resource = scheduleResource(tasks)
  registerResource(app, core, resource)
  app.post(
    '/api/v3/tasks/schedules/:id/send/',
    {
      config: { access: { object: 'authentik_tasks_schedules.send_schedule' } },
      schema: {
        operationId: 'tasks_schedules_send_create',
        tags: ['tasks'],
        params: Type.Object({ id: Uuid }),
        response: { 204: Empty, ...errorResponses },
      },
    },
    async (request, reply) => {
      await write(core, request, async context => {
        const permitted = visibleRow(
          context.tx,
          principalOf(request),
          'authentik_tasks_schedules.send_schedule',
        )
        const row = await findFor(resource, context.tx, request, permitted, true)
        if (!tasks.actors.has(row.actor))
          throw new ApiError(400, 'No program here knows this actor.', { code: 'invalid' })
        const { id } = await tasks.enqueue(context.tx, row.actor, row.payload, {
          dedupe: `schedule/${row.id}`,
          uid: '',
        })
        await audit(context, 'model_updated', modelOf(resource, row), { task: id })
      })
      return reply.code(204).send()
    },
  )
}
