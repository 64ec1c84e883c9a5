// A request whose client or redirect URI cannot be trusted: nothing is sent anywhere, a page says so, and the operator is told.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { recordEvent } from '../events/record.ts'
import { sendPage } from '../pages/page.ts'
import type { UntrustedRequest } from './authorize-request.ts'
import type { Oidc } from './room.ts'

/** At most one event per provider in this time: anybody can send such requests. */
const eventEveryMs = 600_000

/** Answers 400 with a page that repeats nothing of the request. */
export async function refuseUntrusted(
  { core, lastMismatchEvents }: Oidc,
  request: FastifyRequest,
  reply: FastifyReply,
  { code, sentence, provider }: UntrustedRequest,
): Promise<FastifyReply> {
  core.log.warning('authorization request refused', {
    request_id: request.id,
    error: code,
    client_id: provider?.clientId,
    remote: request.client.clientAddress,
  })
  const now = core.now().getTime()
  if (
    provider !== undefined &&
    now - (lastMismatchEvents.get(provider.id) ?? Number.NEGATIVE_INFINITY) > eventEveryMs
  ) {
    lastMismatchEvents.set(provider.id, now)
    const empty = provider.redirectUris.every(entry => entry.redirect_uri_type !== 'authorization')
    await recordEvent(core.db, {
      action: 'configuration_error',
      app: 'authentik.providers.oauth2',
      context: {
        message: empty
          ? 'The provider has no redirect URI: nobody can sign in to its application until one is registered.'
          : 'An application asked to return to an address that is not among the redirect URIs of its provider.',
        provider: { pk: provider.id, name: provider.name },
      },
      clientIp: request.client.clientAddress,
    })
  }
  return sendPage(reply, {
    status: 400,
    title: 'This sign-in link does not work',
    code,
    paragraphs: [
      sentence,
      'Nothing was sent to the application. If this keeps happening, tell its administrator.',
    ],
    actions: [{ label: 'Your applications', href: '/if/user/' }],
  })
}
