// Rows that have ended. Events are among them: how long one is kept is said by the event itself.
import Type from 'typebox'
import { type AnyActor, defineActor } from '../../pg/tasks/actor.ts'
import { type ExpiringTable, expiringTables } from '../outposts/housekeeping.sql.ts'
import { sweepExpired } from '../outposts/housekeeping.ts'
import type { TaskCore } from '../tasks.ts'

const Nothing = Type.Object({}, { additionalProperties: false })
/** Grows with every login at an application, so it is swept most often. */
const frequent: ExpiringTable[] = ['proxy_sessions']

export function cleanUpActors(core: Pick<TaskCore, 'db'>): AnyActor[] {
  const sweep = (tables: ExpiringTable[]) => async (context: { signal: AbortSignal }) =>
    await sweepExpired(core.db, { tables, signal: context.signal })
  return [
    defineActor({
      name: 'clean_proxy_sessions',
      description: 'Deletes expired sessions of applications behind outposts.',
      payload: Nothing,
      retries: 0,
      schedule: { crontab: '* * * * *', payload: {} },
      run: sweep(frequent),
    }),
    defineActor({
      name: 'clean_expired_models',
      description: 'Deletes sessions, tokens, consents, flow plans, events and all else that has expired.',
      payload: Nothing,
      retries: 0,
      schedule: { crontab: '2-59/5 * * * *', payload: {} },
      run: sweep(expiringTables.filter(table => !frequent.includes(table))),
    }),
  ]
}
