import type { TestContext } from 'node:test'
import type { OutpostOptions } from '../../src/proxy/outpost.ts'
import type { ProxyProviderConfig } from '../../src/wire/outpost.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { type Answer, ask, createBrowser, startOutpost } from './harness.ts'

export const P = '/outpost.goauthentik.io'

export type Front = 'nginx' | 'nginx-uri' | 'traefik' | 'caddy' | 'envoy'

export const fronts: Front[] = ['nginx', 'nginx-uri', 'traefik', 'caddy', 'envoy']

export const redirecting: Front[] = ['traefik', 'caddy', 'envoy']

export async function setUp(
  t: TestContext,
  about: Partial<ProxyProviderConfig> = {},
  options: Partial<OutpostOptions> = {},
) {
  const core = createFakeCore([fakeProvider(about)])
  const running = await startOutpost(t, core, options)
  return { core, ...running, browser: createBrowser(core, running.port) }
}

/** What a front proxy asks when a browser wants `url`. */

export function judge(
  port: number,
  front: Front,
  url: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const { protocol, host, pathname, search } = new URL(url)
  const uri = url.slice(`${protocol}//${host}`.length) || pathname + search
  const own: Record<Front, Record<string, string>> = {
    nginx: { 'x-original-url': `${protocol}//${host}${uri}` },
    'nginx-uri': { 'x-original-uri': uri, 'x-forwarded-proto': protocol.slice(0, -1) },
    traefik: { 'x-forwarded-proto': protocol.slice(0, -1), 'x-forwarded-host': host, 'x-forwarded-uri': uri },
    caddy: { 'x-forwarded-proto': protocol.slice(0, -1), 'x-forwarded-host': host, 'x-forwarded-uri': uri },
    envoy: { 'x-forwarded-proto': protocol.slice(0, -1) },
  }
  const path = front === 'envoy' ? `${P}/auth/envoy${uri}` : `${P}/auth/${front.split('-')[0]}`
  return ask({ port, path, host, headers: { ...own[front], ...headers } })
}

/** Signs in through the path `start`, as nginx has browsers do; returns the Cookie header. */

export async function signIn(
  { browser }: Awaited<ReturnType<typeof setUp>>,
  host = 'app.example',
): Promise<string> {
  const start = `https://${host}${P}/start?rd=%2F`
  await browser.visit(start)
  return [...browser.cookies].map(([name, { value }]) => `${name}=${value}`).join('; ')
}
