// Cross-origin calls: scripts of a client may call from where the client itself is at home, without cookies (Fetch, CORS protocol).
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../core.ts'
import { isOriginOfAnyClient, type RedirectUri } from './provider.sql.ts'
import { originsOf } from './redirect-uri.ts'

/** Lets the calling page read the answer when its origin is that of a strict redirect URI; a pattern names no origin. */
export function allowOrigin(
  request: FastifyRequest,
  reply: FastifyReply,
  redirectUris: readonly RedirectUri[],
): void {
  const { origin } = request.headers
  reply.header('Vary', 'Origin')
  if (origin !== undefined && originsOf(redirectUris).has(origin))
    reply.header('Access-Control-Allow-Origin', origin)
}

/** A preflight names no client, so it is enough that the origin is some client's; the request itself is judged again. */
export async function answerPreflight(
  core: Core,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { origin } = request.headers
  reply.header('Vary', 'Origin')
  if (origin !== undefined && origin.length < 300 && (await isOriginOfAnyClient(core.db, origin)))
    reply
      .header('Access-Control-Allow-Origin', origin)
      .header('Access-Control-Allow-Methods', 'GET, POST, OPTIONS')
      .header('Access-Control-Allow-Headers', 'Authorization, Content-Type')
      .header('Access-Control-Max-Age', '600')
  return reply.code(204).send()
}
