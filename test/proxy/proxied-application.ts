import type http from 'node:http'
import type { TestContext } from 'node:test'
import type { OutpostOptions } from '../../src/proxy/outpost.ts'
import type { ProxyProviderConfig } from '../../src/wire/outpost.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { createBrowser, echo, startOutpost, startUpstream } from './harness.ts'

export interface SetUp {
  about?: Partial<ProxyProviderConfig>
  options?: Partial<OutpostOptions>
  claims?: Record<string, unknown>
  handler?: http.RequestListener
}

export async function setUp(t: TestContext, { about, options, claims, handler = echo }: SetUp = {}) {
  const upstream = await startUpstream(t, handler)
  const core = createFakeCore([fakeProvider({ mode: 'proxy', internal_host: upstream.url, ...about })])
  core.user = { ...core.user, claims }
  const running = await startOutpost(t, core, options)
  const browser = createBrowser(core, running.port)
  const signIn = async () => {
    await browser.visit('https://app.example/outpost.goauthentik.io/start')
    return [...browser.cookies].map(([name, { value }]) => `${name}=${value}`).join('; ')
  }
  return { ...running, core, upstream, browser, signIn }
}
