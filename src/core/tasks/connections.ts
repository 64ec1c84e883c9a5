// Whether the places Core deploys outposts to can be reached.
import Type from 'typebox'
import { type AnyActor, defineActor } from '../../pg/tasks/actor.ts'
import { checkConnections } from '../outposts/connection-state.ts'
import type { TaskCore } from '../tasks.ts'

export function connectionsActor(core: TaskCore): AnyActor {
  return defineActor({
    name: 'outpost_service_connection_monitor',
    description: 'Checks every service connection and remembers its state and version.',
    payload: Type.Object({}, { additionalProperties: false }),
    schedule: { crontab: '3,18,33,48 * * * *', payload: {} },
    run: async () => {
      await checkConnections(core)
    },
  })
}
