// The event of a change made through the API, written in the transaction of the change.
import type { FastifyRequest } from 'fastify'
import type { Tx } from '../../pg/db.ts'
import type { Core } from '../core.ts'
import type { EventAction, NewEvent } from '../events/record.ts'
import { recordEvent } from '../events/record.ts'
import { forget } from '../remembered.ts'
import type { Principal } from '../sessions/principal.ts'

/** What a handler that writes works with. */
export interface WriteContext {
  core: Core
  tx: Tx
  principal: Principal
  request: FastifyRequest
}

export interface ModelReference {
  /** e.g. `authentik_core` */
  app: string
  /** e.g. `brand` */
  model_name: string
  pk: string
  name: string
}

/**
 * Records `action` about an object, by the caller, and ends what was remembered of the object; a log line follows the commit.
 * @returns id of the event
 */
export async function audit(
  context: WriteContext,
  action: EventAction,
  model: ModelReference,
  details: Record<string, unknown> = {},
  revocationId?: number,
): Promise<string> {
  const { core, tx, principal, request } = context
  const { user } = principal
  const event: NewEvent = {
    action,
    app: model.app.replace('_', '.'),
    user: { pk: user.id, username: user.username, email: user.email },
    context: { model, ...details, http_request: httpRequest(request) },
    clientIp: request.client.clientAddress,
    revocationId,
  }
  const id = await recordEvent(tx, event)
  if (changes.has(action)) await forget(core.memory, tx, `${model.app}.${model.model_name}`)
  tx.afterCommit(() =>
    core.log.info('event', {
      event_id: id,
      action,
      app: event.app,
      model: `${model.app}.${model.model_name}`,
      pk: model.pk,
      user: user.username,
      request_id: request.id,
    }),
  )
  return id
}

const changes: ReadonlySet<EventAction> = new Set(['model_created', 'model_updated', 'model_deleted'])

/** The request an event is about; never a body or a header that could hold a secret. */
export function httpRequest(request: FastifyRequest): Record<string, unknown> {
  return {
    path: request.url.split('?', 1)[0],
    method: request.method,
    args: request.query,
    user_agent: request.headers['user-agent'] ?? '',
    request_id: request.id,
  }
}

/** `{field: {previous_value, new_value}}` of what differs; computed fields (`…_obj`) are left out. */
export function diff(before: object, after: object): Record<string, unknown> {
  const was = before as Record<string, unknown>
  const is = after as Record<string, unknown>
  const changed: Record<string, unknown> = {}
  for (const field of new Set([...Object.keys(was), ...Object.keys(is)])) {
    if (field.endsWith('_obj') || field === 'last_updated') continue
    if (JSON.stringify(was[field]) !== JSON.stringify(is[field]))
      changed[field] = { previous_value: was[field] ?? null, new_value: is[field] ?? null }
  }
  return changed
}
