// Who may open what, judged again some time after it changed.
import Type from 'typebox'
import { type AnyActor, defineActor } from '../../pg/tasks/actor.ts'
import { reviewAccess } from '../policies/lost-access.ts'
import type { TaskCore } from '../tasks.ts'

export function accessReviewActor(core: Pick<TaskCore, 'db' | 'bus'>): AnyActor {
  return defineActor({
    name: 'access_review',
    description: 'Ends sessions at applications of users who may not open them any more.',
    payload: Type.Object({}, { additionalProperties: false }),
    retries: 0,
    limit: 1,
    schedule: { crontab: '* * * * *', payload: {} },
    run: context => reviewAccess(core.db, core.bus, context.signal),
  })
}
