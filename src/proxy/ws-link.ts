// The link of a standalone outpost: REST for what it asks, a WebSocket for what Core tells it, both with the outpost's
// token, and the OAuth back channel without it.
import type { Log } from '../log.ts'
import { LinkError, type OutpostLink } from '../wire/link.ts'
import type { OutpostInstance } from '../wire/outpost.ts'
import { createBackChannel } from './back-channel.ts'
import { createCoreApi } from './core-api.ts'
import { openPushChannel, type PushChannel, type PushTimeouts } from './push-channel.ts'
import { createRestClient } from './rest-client.ts'

export interface LinkTimeouts extends PushTimeouts {
  /** for the whole of one REST or OAuth call */
  callMs: number
}

const defaults: LinkTimeouts = {
  callMs: 10_000,
  handshakeMs: 10_000,
  helloMs: 10_000,
  silenceMs: 35_000,
  reconnectMinMs: 1_000,
  reconnectMaxMs: 60_000,
}

/**
 * Creates a link; nothing is sent before it is used.
 * @param options.coreUrl `AUTHENTIK_HOST`, with or without trailing slash or sub-path
 * @param options.browserUrl `AUTHENTIK_HOST_BROWSER`, when browsers use another address for Core
 * @param options.insecure take any certificate of Core
 * @param options.version of this program, with the build after a dot if there is one
 * @param options.instanceId UUID of this process
 * @throws LinkError (kind `invalid`) for an address that is none or a token that cannot stand in a header
 */
export function createWsLink(options: {
  coreUrl: string
  browserUrl?: string
  token: string
  insecure: boolean
  version: string
  instanceId: string
  log: Log
  timeouts?: Partial<LinkTimeouts>
}): OutpostLink {
  const { insecure, instanceId, log } = options
  const timeouts = { ...defaults, ...options.timeouts }
  const coreUrl = parseAddress(options.coreUrl, 'AUTHENTIK_HOST')
  const browserUrl = options.browserUrl ? parseAddress(options.browserUrl, 'AUTHENTIK_HOST_BROWSER') : null
  const token = parseToken(options.token)
  const userAgent = `goauthentik.io/outpost/${options.version}`

  const rest = createRestClient({ insecure, timeoutMs: timeouts.callMs })
  const restAsPublic = createRestClient({ insecure, timeoutMs: timeouts.callMs })
  let configured: URL | null = null
  const learn = (instance: OutpostInstance): void => {
    const url = URL.parse(instance.config.authentik_host)
    configured = url !== null && isHttp(url) ? url : null
  }
  let push: PushChannel | null = null
  let closed = false

  return {
    ...createCoreApi({ rest, coreUrl, token, userAgent, onInstance: learn }),
    backChannel: createBackChannel({
      direct: rest,
      asPublic: restAsPublic,
      userAgent,
      publicUrl: () => browserUrl ?? configured,
    }),
    open: (outpost, handlers) => {
      if (closed) throw new Error('the link is closed')
      if (push !== null) throw new Error('the link is open already')
      learn(outpost)
      push = openPushChannel({
        coreUrl,
        outpostId: outpost.pk,
        instanceId,
        token,
        insecure,
        userAgent,
        timeouts,
        handlers,
        log,
      })
    },
    send: frame => push?.send(frame) ?? false,
    close: async () => {
      closed = true
      await push?.close()
      await Promise.all([rest.close(), restAsPublic.close()])
    },
  }
}

function parseAddress(value: string, setting: string): URL {
  const url = URL.parse(value.trim())
  if (url === null || !isHttp(url) || url.username !== '')
    throw new LinkError('invalid', `${setting} must be an address like https://auth.example.com/`)
  return url
}

function isHttp(url: URL): boolean {
  return url.protocol === 'http:' || url.protocol === 'https:'
}

function parseToken(value: string): string {
  const token = value.trim()
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new LinkError('invalid', 'AUTHENTIK_TOKEN is empty or holds characters no token has')
  return token
}
