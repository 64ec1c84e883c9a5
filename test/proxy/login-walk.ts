import type { TestContext } from 'node:test'
import type { ProxyProviderConfig } from '../../src/wire/outpost.ts'
import { createFakeCore, fakeProvider } from './fake-core.ts'
import { createBrowser, startOutpost, startUpstream } from './harness.ts'

export async function setUp(t: TestContext, about: Partial<ProxyProviderConfig> = {}) {
  const upstream = await startUpstream(t)
  const provider = fakeProvider({ mode: 'proxy', internal_host: upstream.url, ...about })
  const core = createFakeCore([provider])
  const running = await startOutpost(t, core)
  return { core, provider, upstream, ...running, browser: createBrowser(core, running.port) }
}

/** Goes as far as Core and returns the address Core sends the browser back to. */

export async function untilCallback(
  { browser, core }: Awaited<ReturnType<typeof setUp>>,
  url = 'https://app.example/page',
): Promise<string> {
  const toStart = await browser.get(url)
  const toCore = await browser.get(toStart.headers.location ?? '')
  return core.authorize(toCore.headers.location ?? '')
}
