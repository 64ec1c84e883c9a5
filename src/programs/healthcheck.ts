// `postern healthcheck`: the question a container runtime asks; answered by the ping of the metrics listener of the program here.
import type { Log } from '../log.ts'
import { errorText } from '../log.ts'
import type { Settings } from '../settings.ts'
import { outpostPrefix } from '../wire/outpost.ts'

/** @returns 0 when the ping was answered with a status below 400 */
export async function healthcheck(settings: Settings, log: Log): Promise<number> {
  const [address] = settings.get('AUTHENTIK_LISTEN__METRICS')
  if (address === undefined) {
    log.warning('no metrics listener to ask', { setting: 'AUTHENTIK_LISTEN__METRICS' })
    return 1
  }
  const host = anyHost(address.host)
  const url = `http://${host}:${address.port}${outpostPrefix}/ping`
  try {
    const answer = await fetch(url, {
      method: 'HEAD',
      headers: { 'User-Agent': 'goauthentik.io/healthcheck' },
      signal: AbortSignal.timeout(5000),
    })
    if (answer.status < 400) return 0
    log.warning('not healthy', { url, status: answer.status })
  } catch (error) {
    log.warning('not healthy', { url, error: errorText(error) })
  }
  return 1
}

/** A listener on all addresses is asked on the loopback one. */
function anyHost(host: string): string {
  if (host === '0.0.0.0' || host === '') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}
