// The API of background tasks.
import type { Tasks } from '../../pg/tasks/tasks.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { registerScheduleRoutes } from './task-schedules.ts'
import { registerTaskResource, registerWorkerRoute } from './tasks.ts'

/** @param tasks of this process; enqueuing is enough */
export function registerTaskRoutes(app: CoreApp, core: Core, tasks: Tasks): void {
  registerTaskResource(app, core, tasks)
  registerScheduleRoutes(app, core, tasks)
  registerWorkerRoute(app, core)
}
