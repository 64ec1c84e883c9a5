// Who may open `/ws/outpost/<uuid>/`: decided before the upgrade, by bearer only, so that no page in a browser can.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { answerOnSocket } from '../../http/errors.ts'
import { publicRequest } from '../../http/trusted-peers.ts'
import { errorText } from '../../log.ts'
import { isUnavailable } from '../../pg/errors.ts'
import type { Core } from '../core.ts'
import { sha256 } from '../secrets.ts'
import { findBearer } from '../sessions/sessions.sql.ts'
import { readConfig } from './config.ts'
import { findLinkedOutpost } from './hub.sql.ts'
import type { NewLink } from './hub-link.ts'

/** The outpost a request's path names, with its query; null when the path is not of this kind. */
export function linkTarget(url: string | undefined): { outpostId: string; query: URLSearchParams } | null {
  const [path = '', query = ''] = (url ?? '').split('?', 2)
  const match = /^\/ws\/outpost\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/$/i.exec(path)
  return match === null ? null : { outpostId: match[1]!.toLowerCase(), query: new URLSearchParams(query) }
}

export interface Doorkeeper {
  /** @returns what the link is, or null after the socket was answered and ended */
  admit(
    request: IncomingMessage,
    socket: Duplex,
    target: { outpostId: string; query: URLSearchParams },
  ): Promise<Omit<NewLink, 'peer'> | null>
}

/** One line a minute per source: an outpost with a bad token knocks for ever. */
const complainEveryMs = 60_000
const sourcesMax = 10_000

export function createDoorkeeper(core: Pick<Core, 'db' | 'log' | 'trusted'>): Doorkeeper {
  const complained = new Map<string, number>()

  function refuse(request: IncomingMessage, socket: Duplex, outpost: string, reason: string): null {
    answerOnSocket(socket, 403, `${reason}\n`)
    const remote = publicRequest(request, core.trusted).clientAddress
    const now = performance.now()
    const last = complained.get(remote)
    if (last !== undefined && now - last < complainEveryMs) return null
    if (complained.size >= sourcesMax) complained.clear()
    complained.set(remote, now)
    const agent = String(request.headers['user-agent'] ?? '').slice(0, 200)
    core.log.warning('connection of an outpost refused', { reason, remote, outpost, user_agent: agent })
    return null
  }

  return {
    async admit(request, socket, { outpostId, query }) {
      try {
        const key = bearerOf(request.headers.authorization)
        if (key === null)
          return refuse(request, socket, outpostId, 'Authentication credentials were not provided.')
        const bearerHash = sha256(key)
        const found = await findBearer(core.db, bearerHash)
        if (found === undefined) return refuse(request, socket, outpostId, 'Token invalid/expired')
        const outpost = await findLinkedOutpost(core.db, found.principal, outpostId)
        if (outpost === undefined)
          return refuse(request, socket, outpostId, 'This token does not see this outpost.')
        return {
          outpostId: outpost.id,
          outpostName: outpost.name,
          expected: readConfig(outpost.config).kubernetes_replicas,
          instanceId: instanceOf(query.get('instance_uuid')),
          bearerHash,
          userId: found.principal.user.id,
          again: query.has('attempt'),
        }
      } catch (error) {
        core.log.warning('connection of an outpost failed', { outpost: outpostId, error: errorText(error) })
        answerOnSocket(socket, isUnavailable(error) ? 503 : 500)
        return null
      }
    },
  }
}

function bearerOf(header: string | undefined): string | null {
  const match = /^bearer +([\x21-\x7e]+)$/i.exec((header ?? '').trim())
  return match === null ? null : match[1]!
}

/** A process names itself as it likes, within reason; one without a name gets one for this connection. */
function instanceOf(given: string | null): string {
  return given !== null && /^[\x21-\x7e]{1,200}$/.test(given) ? given : randomUUID()
}
