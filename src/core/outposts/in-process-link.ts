// The link of the embedded outpost: the same calls and frames as over REST and WebSocket, with the rights of its own service account,
// but without a socket and without a bearer.
import { errorText } from '../../log.ts'
import type { BackChannelAnswer, LinkErrorKind, LinkHandlers, OutpostLink } from '../../wire/link.ts'
import { LinkError } from '../../wire/link.ts'
import type {
  CertificateBundle,
  OutpostEvent,
  OutpostInstance,
  ProxyProviderConfig,
} from '../../wire/outpost.ts'
import { findRow } from '../api/resource.sql.ts'
import { visibleRow } from '../api/visible.sql.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import type { EventAction } from '../events/record.ts'
import { recordEvent } from '../events/record.ts'
import type { Principal } from '../sessions/principal.ts'
import { holds } from '../sessions/principal.ts'
import { findPrincipal } from '../sessions/sessions.sql.ts'
import { findLinkedOutpost } from './hub.sql.ts'
import type { Hub } from './hub.ts'
import { type Channel, openChannel } from './in-process-channel.ts'
import { findOutpostAccount, findWholePair } from './in-process-link.sql.ts'
import { outpostBody } from './outpost-shape.ts'
import type { OutpostRow } from './outposts.sql.ts'
import { outpostTable } from './outposts.sql.ts'
import { proxyConfigRows } from './proxy-config.sql.ts'
import { createProxyConfigs } from './proxy-config.ts'

const everything = { limit: 1_000_000, offset: 0 }
/** What an outpost reports besides `custom_…`. */
const reported = new Set([
  'configuration_error',
  'configuration_warning',
  'suspicious_request',
  'system_exception',
])

/**
 * Creates the link; nothing is read before it is used.
 * @param options.outpostId default: the embedded outpost, whichever row that is at the time of each call
 */
export function createInProcessLink(options: {
  core: Core
  app: CoreApp
  hub: Pick<Hub, 'attach'>
  outpostId?: string
}): OutpostLink {
  const { core, app, hub, outpostId } = options
  const log = core.log.child('authentik.outposts')
  const toConfig = createProxyConfigs(core)
  let channel: Channel | null = null
  let closed = false

  /** Who asks. @throws LinkError */
  async function account(): Promise<{ id: string; principal: Principal }> {
    const found = await findOutpostAccount(core.db, outpostId)
    if (found === undefined)
      throw new LinkError(
        'no-outpost',
        'the embedded outpost was deleted; it is made again at the next start',
      )
    const principal = await findPrincipal(core.db, found.user_id)
    if (principal === undefined)
      throw new LinkError(
        'unauthorized',
        'the service account of the embedded outpost is inactive: activate it',
      )
    return { id: found.id, principal }
  }

  return {
    instance: () =>
      orLinkError('instance', async () => {
        const { id, principal } = await account()
        const visible = visibleRow(core.db, principal, 'authentik_outposts.view_outpost')
        const row = await findRow<OutpostRow>(core.db, outpostTable(core.db), {
          key: id,
          visible,
          permitted: visible,
        })
        if (row === undefined)
          throw new LinkError('no-outpost', 'the service account may not see the embedded outpost')
        const { pk, name, managed, refresh_interval_s, config } = outpostBody(row)
        return { pk, name, managed, refresh_interval_s, config: config as OutpostInstance['config'] }
      }),
    rootConfig: () =>
      orLinkError('root/config/', async () => {
        const { status, body } = await inject({ method: 'GET', url: '/api/v3/root/config/' })
        if (status !== 200) throw new LinkError('unreachable', `root/config/ was answered with ${status}`)
        return body as { error_reporting: { enabled: boolean } }
      }),
    providers: (broken = () => {}) =>
      orLinkError('providers', async () => {
        const { principal } = await account()
        const rows = await proxyConfigRows(core.db, principal, {}, everything)
        return rows.flatMap(row => {
          const { problem, ...config } = toConfig(row, undefined)
          if (problem === undefined) return [config]
          broken({ pk: row.pk, name: row.name, problem })
          return []
        })
      }),
    certificate: (uuid, known) => orLinkError('certificate', () => certificate(uuid, known)),
    reportEvent: event => orLinkError('event', () => reportEvent(event)),
    backChannel: (provider, call) =>
      orLinkError(call.endpoint, () => {
        const endpoints = provider.oidc_configuration
        if (call.endpoint === 'jwks') return inject({ method: 'GET', url: pathOf(endpoints.jwks_uri) })
        const url = call.endpoint === 'token' ? endpoints.token_endpoint : endpoints.introspection_endpoint
        return inject({ method: 'POST', url: pathOf(url), form: call.form, agent: agentOf(provider) })
      }),
    open(outpost, handlers) {
      if (closed) throw new Error('the link is closed')
      if (channel !== null) throw new Error('the link is open already')
      channel = openChannel({ hub, handlers, log, join: () => join(outpost.pk, handlers) })
    },
    send: frame => channel?.send(frame) ?? false,
    async close() {
      closed = true
      channel?.close()
    },
  }

  async function join(id: string, handlers: LinkHandlers) {
    const { principal } = await account()
    const outpost = await findLinkedOutpost(core.db, principal, id)
    if (outpost === undefined)
      throw new LinkError('no-outpost', 'the service account may not see this outpost')
    return {
      outpostId: outpost.id,
      outpostName: outpost.name,
      expected: 1,
      instanceId: handlers.hello().uuid,
      bearerHash: null,
      userId: principal.user.id,
    }
  }

  async function certificate(uuid: string, known?: string): Promise<CertificateBundle | null> {
    const { principal } = await account()
    const pair = await findWholePair(core.db, principal, uuid)
    if (pair === undefined)
      throw new LinkError('invalid', `certificate ${uuid} is not there for this outpost`)
    if (known !== undefined && plain(known) === plain(pair.fingerprint_sha256)) return null
    if (pair.private_key_sealed === null)
      throw new LinkError('invalid', `certificate ${uuid} has no private key`)
    return {
      fingerprint_sha256: pair.fingerprint_sha256,
      certificate_pem: pair.certificate_pem,
      private_key_pem: core.secrets.open('private_key', pair.private_key_sealed),
    }
  }

  async function reportEvent(event: OutpostEvent): Promise<void> {
    const { principal } = await account()
    if (!holds(principal, 'authentik_events.add_event'))
      throw new LinkError('unauthorized', 'the service account of the embedded outpost may not add events')
    if (!reported.has(event.action) && !event.action.startsWith('custom_'))
      throw new LinkError('invalid', `"${event.action}" is no event an outpost reports`)
    const { id, username, email } = principal.user
    await recordEvent(core.db, {
      action: event.action as EventAction,
      app: event.app,
      user: { pk: id, username, email },
      context: event.context,
      clientIp: event.client_ip,
    })
  }

  /** A request to Core's own routes, under the public name. */
  async function inject(request: {
    method: 'GET' | 'POST'
    url: string
    form?: Record<string, string>
    agent?: string
  }): Promise<BackChannelAnswer> {
    const { host, protocol } = core.baseUrl
    const headers: Record<string, string> = {
      host,
      'x-forwarded-proto': protocol.slice(0, -1),
      accept: 'application/json',
      'user-agent': request.agent ?? `goauthentik.io/outpost/${core.version}`,
    }
    if (request.form !== undefined) headers['content-type'] = 'application/x-www-form-urlencoded'
    const payload = request.form === undefined ? undefined : new URLSearchParams(request.form).toString()
    const answer = await app.inject({ method: request.method, url: request.url, headers, payload })
    return { status: answer.statusCode, body: parsed(answer.payload) }
  }

  function agentOf(provider: ProxyProviderConfig): string {
    const name = provider.name.replaceAll(/[^\x20-\x7e]/g, '?')
    return `goauthentik.io/outpost/${core.version} (provider=${name})`
  }
}

async function orLinkError<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof LinkError) throw error
    const kind: LinkErrorKind = 'unreachable'
    throw new LinkError(kind, `${what}: ${errorText(error)}`, { cause: error })
  }
}

function pathOf(url: string): string {
  const { pathname, search } = new URL(url)
  return `${pathname}${search}`
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function plain(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase()
}
