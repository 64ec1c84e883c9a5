// Telling Core that a front proxy does not say which URL it asks about: once in a while, without anything secret.
import type { IncomingMessage } from 'node:http'
import { redactUri } from '../http/redact.ts'
import { errorText, type Log } from '../log.ts'
import type { OutpostLink } from '../wire/link.ts'

export type MisconfigurationReport = (front: string, req: IncomingMessage) => void

const titles: Record<string, string> = { traefik: 'Traefik', caddy: 'Caddy', nginx: 'nginx', envoy: 'Envoy' }
/** One event per kind of front proxy in this time: a wrong setting fails every request. */
const everyMs = 10 * 60_000

/** @returns a function that sends an event of kind `configuration_error`; failures are only logged */
export function createMisconfigurationReport(options: {
  link: OutpostLink
  log: Log
  now: () => number
  /** name of the outpost */
  outpost: () => string
}): MisconfigurationReport {
  const { link, log, now, outpost } = options
  const sentAt = new Map<string, number>()
  return (front, req) => {
    const last = sentAt.get(front)
    if (last !== undefined && now() - last < everyMs) return
    sentAt.set(front, now())
    const title = titles[front] ?? front
    const event = {
      action: 'configuration_error',
      app: 'authentik.providers.proxy',
      client_ip: `${req.socket.remoteAddress}:${req.socket.remotePort}`,
      context: {
        message: `Outpost ${outpost()} failed to detect a forward URL from ${title}`,
        outpost: outpost(),
        url: redactUri(req.url ?? ''),
        headers: reportableHeaders(req),
      },
    }
    link.reportEvent(event).catch(error => log.warning('event not sent', { error: errorText(error) }))
  }
}

/** Names and harmless values: no cookies, no credentials, no queries. */
function reportableHeaders(req: IncomingMessage): Record<string, string> {
  const out: Record<string, string> = {}
  for (const [name, value] of Object.entries(req.headers)) {
    const secret = /cookie|authoriz|token|secret|key|jwt|password/i.test(name)
    const text = Array.isArray(value) ? (value[0] ?? '') : (value ?? '')
    out[name] = secret ? '***' : redactUri(text).slice(0, 500)
  }
  return out
}
