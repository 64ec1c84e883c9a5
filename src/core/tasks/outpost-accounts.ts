// Service accounts, tokens and permissions of outposts, put right in case somebody took them apart.
import Type from 'typebox'
import { type AnyActor, defineActor } from '../../pg/tasks/actor.ts'
import { ensureAccounts } from '../outposts/account.ts'
import type { TaskCore } from '../tasks.ts'

export function outpostAccountsActor(core: Pick<TaskCore, 'db' | 'secrets'>): AnyActor {
  return defineActor({
    name: 'outpost_token_ensurer',
    description: 'Repairs the service accounts, tokens and permissions of outposts.',
    payload: Type.Object({}, { additionalProperties: false }),
    schedule: { crontab: '35 */8 * * *', payload: {} },
    run: async () => {
      await core.db.transaction(tx => ensureAccounts(tx, core))
    },
  })
}
