// Lists may be read from a standby, which is always a little behind. Nobody is to miss there what he has just written himself, whichever
// process of Core did it: the position of his last write stands in the row of his session or token, which every request reads from the
// primary anyway, and a standby that has not come so far is not asked.
import type { FastifyRequest } from 'fastify'
import { errorText } from '../../log.ts'
import type { Queryable } from '../../pg/db.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { setReadAfter } from './read-after.sql.ts'

/** By what a caller is known, and what it has written. */
export interface Caller {
  table: 'sessions' | 'tokens'
  id: string
  /** position in the log of the primary; null = nothing yet */
  readAfter: string | null
  createdAt: Date
}

/** What signing in writes is not noted down. A standby that is used is behind by less than this. */
const youngMs = 5000

const nothingYet = '0/0'

/** Where a list of this caller is read: a standby that shows what he wrote, else the primary. */
export function listReader(core: Core, { caller }: FastifyRequest): Pick<Queryable, 't' | 'rows' | 'first'> {
  if (caller === null || Date.now() - caller.createdAt.getTime() < youngMs) return core.db
  return core.db.replica(caller.readAfter ?? nothingYet)
}

/** Notes down every write of the API before it is answered; costs nothing where there is no standby. */
export function rememberWrites(app: CoreApp, core: Core): void {
  app.addHook('onSend', async (request, reply) => {
    const { caller, method } = request
    if (caller === null || method === 'GET' || method === 'HEAD' || reply.statusCode >= 400) return
    if (!core.db.hasReplicas()) return
    await setReadAfter(core.db, caller).catch(error =>
      core.log.warning('the position of a write was not noted down; a list may be late by a second', {
        request_id: request.id,
        error: errorText(error),
      }),
    )
  })
}
