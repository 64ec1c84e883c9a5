import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ProxyMode } from '@goauthentik/api'
import type { Page } from 'playwright-core'
import { testDatabase } from '../postgres.ts'
import { type FrontOptions, startCaddy, startHaproxy, startNginx } from '../proxy/front-programs.ts'
import { openBrowser, signedOut, signIn, visit } from './chromium.ts'
import { createClient } from './http-client.ts'
import { freePort } from './installation.ts'
import {
  addApplication,
  addOutpost,
  giveToEmbedded,
  type OfficialClient,
  officialClient,
} from './official-client.ts'
import { databaseEnv, describeSite, type Site, startService, until } from './production.ts'
import { type Seen, startUpstream } from './upstream.ts'

const limit = { timeout: 180_000 }

interface Behind {
  page: Page
  site: Site
  api: OfficialClient
  /** id of the provider of the domain */
  domainProvider: number
  /** of one application, and of two that share a domain and a login */
  urls: { single: string; a: string; b: string }
}

test('behind nginx with `auth_request`, judged by the embedded outpost', limit, async t => {
  const behind = await prepare(t, startNginx, 'embedded')
  await walk(t, behind)
})

test('behind Caddy with `forward_auth`, judged by a standalone outpost', limit, async t => {
  const behind = await prepare(t, startCaddy, 'standalone')
  await walk(t, behind)
})

test('behind HAProxy with the Lua action, judged by a standalone outpost', limit, async t => {
  const behind = await prepare(t, startHaproxy, 'standalone')
  await walk(t, behind)
})

async function walk(t: TestContext, { page, site, api, domainProvider, urls }: Behind): Promise<void> {
  await t.test('the application is closed, whatever identity a client claims', async () => {
    for (const url of Object.values(urls)) {
      const answer = await createClient().ask(`${url}/`, { headers: forged })
      assert.equal(answer.status, 302, url)
      assert.match(
        String(answer.headers.location),
        /\/outpost\.goauthentik\.io\/start\?|\/application\/o\/authorize\//,
      )
    }
  })

  await t.test('a login leads back to the page first asked for, query string and all', async () => {
    await page.goto(`${urls.single}/reports/2026?q=caf%C3%A9&page=2`)
    await signIn(page, 'akadmin', site.password)
    const seen = await seenBy(page)
    assert.equal(page.url(), `${urls.single}/reports/2026?q=caf%C3%A9&page=2`)
    assert.equal(seen.url, '/reports/2026?q=caf%C3%A9&page=2')
    assert.equal(seen.headers['x-authentik-username'], 'akadmin')
    assert.equal(seen.headers['x-authentik-email'], 'root@example.com')
    assert.equal(seen.headers['x-authentik-groups'], 'authentik Admins')
  })

  await t.test('identity headers a browser sends are replaced', async () => {
    const text = await page.evaluate(async headers => (await fetch('/whoami', { headers })).text(), forged)
    assert.equal(text.includes('mallory'), false, text)
    assert.equal((JSON.parse(text) as Seen).headers['x-authentik-username'], 'akadmin')
  })

  await t.test('in domain mode one login opens every host of the domain', async () => {
    await page.goto(`${urls.a}/one?x=1`)
    assert.equal((await seenBy(page)).headers['x-authentik-username'], 'akadmin')
    assert.equal(page.url(), `${urls.a}/one?x=1`)
    const [answer] = await Promise.all([page.waitForResponse(`${urls.b}/two`), page.goto(`${urls.b}/two`)])
    assert.equal(answer.status(), 200, 'the second host asked for a login of its own')
    const { headers } = await seenBy(page)
    assert.equal(headers['x-authentik-username'], 'akadmin')
    assert.ok((await page.context().cookies()).some(({ name }) => name.startsWith('authentik_proxy_')))
    assert.doesNotMatch(
      headers.cookie ?? '',
      /authentik_/,
      'the session of the domain reached an application',
    )
  })

  await t.test('signing out at one host closes all', async () => {
    await page.goto(`${urls.b}/outpost.goauthentik.io/sign_out`)
    await signedOut(page)
    for (const url of Object.values(urls)) {
      await page.goto(`${url}/again`)
      await page.getByRole('button', { name: 'Log in' }).waitFor()
    }
  })

  await t.test('a login that begins in domain mode leads back to its host', async () => {
    await page.goto(`${urls.b}/deep/page?y=2`)
    await signIn(page, 'akadmin', site.password)
    assert.equal((await seenBy(page)).url, '/deep/page?y=2')
    assert.equal(page.url(), `${urls.b}/deep/page?y=2`)
  })

  await t.test(
    'a changed access_token_validity is how long the next login lasts, without a restart',
    async () => {
      const seconds = async () => {
        const cookies = await page.context().cookies(urls.b)
        const expires = cookies.find(({ name }) => /^authentik_proxy_[0-9a-f]{8}$/.test(name))?.expires ?? 0
        return expires - Date.now() / 1000
      }
      assert.ok((await seconds()) > 3600, `${await seconds()} s`)
      await api.providers.providersProxyPartialUpdate({
        id: domainProvider,
        patchedProxyProviderRequest: { accessTokenValidity: 'minutes=9' },
      })
      await page.goto(`${urls.b}/outpost.goauthentik.io/sign_out`)
      await signedOut(page)
      await page.goto(`${urls.b}/after`)
      await signIn(page, 'akadmin', site.password)
      await seenBy(page)
      const life = await seconds()
      assert.ok(life > 60 && life <= 541, `${life} s`)
    },
  )
}

const names = ['username', 'email', 'groups', 'entitlements', 'name', 'uid', 'jwt', 'meta-app', 'meta-jwks']
const forged = Object.fromEntries(names.map(name => [`X-authentik-${name}`, 'mallory']))

/** What the upstream tells, once the browser shows it. */
async function seenBy(page: Page): Promise<Seen> {
  await page.getByText('x-authentik-username').waitFor()
  return JSON.parse((await page.textContent('body')) ?? '') as Seen
}

/** Core with two providers made by the API, the outpost that judges, an upstream, and the front proxy before it. */
async function prepare(
  t: TestContext,
  startFront: (t: TestContext, options: FrontOptions) => Promise<void>,
  judge: 'embedded' | 'standalone',
): Promise<Behind> {
  const database = await testDatabase(t)
  const upstream = await startUpstream(t)
  const site = await describeSite(database.target())
  const corePort = Number(new URL(site.coreUrl).port)
  const server = await startService(t, 'server', site.env, { port: corePort })
  const api = officialClient(server.url, site.token)

  const [port, domainPort] = [await freePort(), await freePort()]
  const loginHost = `auth.team.localhost:${domainPort}`
  const providers = [
    await addApplication(api, {
      slug: 'single',
      externalHost: `http://app.localhost:${port}`,
      mode: ProxyMode.ForwardSingle,
    }),
    await addApplication(api, {
      slug: 'team',
      externalHost: `http://${loginHost}`,
      mode: ProxyMode.ForwardDomain,
      cookieDomain: 'team.localhost',
    }),
  ]
  const outpostPort = judge === 'embedded' ? corePort : await freePort()
  if (judge === 'embedded') await giveToEmbedded(api, providers)
  else {
    const config = { authentik_host: site.coreUrl, session_backend: 'postgres' }
    const { token } = await addOutpost(api, 'edge', providers, config)
    const env = {
      ...databaseEnv(database.target()),
      AUTHENTIK_HOST: server.url,
      AUTHENTIK_TOKEN: token,
    }
    await startService(t, 'proxy', env, { port: outpostPort })
  }
  const shared = { upstreamPort: upstream.port, outpostPort }
  await startFront(t, { ...shared, port, hosts: ['app.localhost'] })
  const hosts = ['auth', 'a', 'b'].map(name => `${name}.team.localhost`)
  await startFront(t, { ...shared, port: domainPort, hosts, loginHost })

  const urls = {
    single: `http://app.localhost:${port}`,
    a: `http://a.team.localhost:${domainPort}`,
    b: `http://b.team.localhost:${domainPort}`,
  }
  const starts = async (url: string) => (await createClient().ask(`${url}/`)).status === 302
  for (const url of Object.values(urls)) await until(`${url} is served`, () => starts(url))
  const { page } = await visit(await openBrowser(t))
  return { page, site, api, domainProvider: providers[1] ?? 0, urls }
}
