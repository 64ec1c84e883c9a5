// A code or token of one use came a second time: somebody else has it, so everything issued from its grant ends (RFC 9700 §4.14.2).
import type { Tx } from '../../pg/db.ts'
import type { Core } from '../core.ts'
import { recordEvent } from '../events/record.ts'
import type { TokenRequest } from './token.ts'
import { revokeFamily } from './tokens.sql.ts'

/**
 * Ends the grant, says so in the log, and records a suspicious request when something did end.
 * @param reused.logged constant text of the log line
 * @param reused.message sentence for the event
 */
export async function endReusedGrant(
  core: Core,
  tx: Tx,
  request: TokenRequest,
  reused: { grantId: string; userId: number; logged: string; message: string },
): Promise<void> {
  const ended = await revokeFamily(tx, reused.grantId)
  core.log.warning(reused.logged, {
    request_id: request.requestId,
    client_id: request.provider.clientId,
    remote: request.clientAddress,
    tokens_ended: ended,
  })
  if (ended === 0) return
  await recordEvent(tx, {
    action: 'suspicious_request',
    app: 'authentik.providers.oauth2',
    context: { message: reused.message, client_id: request.provider.clientId, user_pk: reused.userId },
    clientIp: request.clientAddress,
  })
}
