import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { demoShown, openBrowser, picture, signedOut, signIn, statusOf, visit } from './chromium.ts'
import { freePort, type Installation, startInstallation, startOutpost } from './installation.ts'

const limit = { timeout: 240_000 }

test('a person signs in at the application behind the embedded outpost, and signs out', limit, async t => {
  const installation = await startInstallation(t)
  const browser = await openBrowser(t)
  const { page, complaints } = await visit(browser)

  await t.test('the first page asked for is shown after the login, query string and all', async () => {
    await page.goto(`${installation.demoUrl}/reports/2026?q=caf%C3%A9&page=2`)
    await page.getByRole('button', { name: 'Log in' }).waitFor()
    assert.equal(new URL(page.url()).origin, installation.coreUrl)
    await picture(page, 'login.png')
    await signIn(page, 'akadmin', installation.password)
    await demoShown(page)
    assert.equal(page.url(), `${installation.demoUrl}/reports/2026?q=caf%C3%A9&page=2`)
    await page.getByText(/^open, /).waitFor()
    await picture(page, 'demo.png')
  })

  await t.test(
    'the application receives the identity headers, and not those a browser makes up',
    async () => {
      const identity = await whoAmI(page, {
        'X-authentik-username': 'mallory',
        X_AUTHENTIK_EMAIL: 'm@example.com',
      })
      assert.equal(identity.username, 'akadmin')
      assert.equal(identity.name, 'Postern administrator')
      assert.equal(identity.groups, 'authentik Admins')
      assert.equal(identity['meta-app'], 'demo')
      assert.match(identity.uid ?? '', /^[0-9a-f]{64}$/)
      assert.ok(!JSON.stringify(identity).includes('mallory'))
    },
  )

  await t.test('the library lists the application and opens it without another login', async () => {
    await page.goto(`${installation.coreUrl}/if/user/`)
    await page.getByRole('link', { name: /Demo/ }).first().click()
    await demoShown(page)
  })

  await t.test('signing out closes the application', async () => {
    await page.goto(`${installation.demoUrl}/`)
    await page.getByRole('link', { name: 'Sign out' }).click()
    await signedOut(page)
    await page.goto(`${installation.demoUrl}/`)
    await page.getByRole('button', { name: 'Log in' }).waitFor()
  })
  assert.deepEqual(complaints, [])
})

test(
  'standalone outposts share sessions: restarts and replicas keep them, one sign-out ends them all',
  limit,
  async t => {
    const installation = await startInstallation(t)
    const browser = await openBrowser(t)
    const { page } = await visit(browser)
    const port = await freePort()
    const first = await startOutpost(t, installation, { port })
    assert.match(
      first.program.output(),
      /"backend":"postgres"[^\n]*"event":"configured session backend"|"event":"configured session backend"[^\n]*"backend":"postgres"/,
    )

    await page.goto(`${first.url}/start?a=1`)
    await signIn(page, 'akadmin', installation.password)
    await demoShown(page)
    assert.equal(page.url(), `${first.url}/start?a=1`)

    await t.test('killed and started again: still signed in', async () => {
      await first.program.stop('SIGKILL')
      await startOutpost(t, installation, { port })
      await page.goto(`${first.url}/after-restart`)
      await demoShown(page)
    })

    const second = await startOutpost(t, installation)
    await t.test('a second replica knows the session, and so does the embedded outpost', async () => {
      for (const url of [second.url, installation.demoUrl]) {
        await page.goto(`${url}/elsewhere`)
        await demoShown(page)
      }
    })

    await t.test('signing out at one closes all', async () => {
      await page.goto(`${second.url}/`)
      await page.getByRole('link', { name: 'Sign out' }).click()
      await signedOut(page)
      for (const url of [first.url, second.url, installation.demoUrl]) {
        assert.equal(await statusOf(page, url), 302, url)
      }
    })
  },
)

test(
  'a session ended in Core ends at every outpost within the lease, open sockets included',
  limit,
  async t => {
    const installation = await startInstallation(t)
    const browser = await openBrowser(t)
    const { page, context } = await visit(browser)
    const outpost = await startOutpost(t, installation)
    await page.goto(`${outpost.url}/`)
    await signIn(page, 'akadmin', installation.password)
    await demoShown(page)
    await page.getByText(/^open, /).waitFor()

    const library = await context.newPage()
    await library.goto(`${installation.coreUrl}/if/user/#/sessions`)
    await endOwnSession(library, installation)

    await page.getByText('closed', { exact: true }).waitFor({ timeout: 5000 })
    await closedWithin(page, outpost.url, 3000)
    await closedWithin(page, installation.demoUrl, 3000)
  },
)

/** The identity headers as the application received them on a request with `headers`. */
async function whoAmI(page: Page, headers: Record<string, string>): Promise<Record<string, string>> {
  return page.evaluate(async sent => {
    const answer = await fetch('/api/whoami', { headers: sent })
    return (await answer.json()) as Record<string, string>
  }, headers)
}

/** Deletes the browser's own session through the API, as the library's sessions page does. */
async function endOwnSession(page: Page, installation: Installation): Promise<void> {
  const { coreUrl } = installation
  const list = await page.request.get(`${coreUrl}/api/v3/core/authenticated_sessions/`)
  const { results } = (await list.json()) as { results: { uuid: string; current: boolean }[] }
  const cookies = await page.context().cookies(coreUrl)
  const csrf = cookies.find(cookie => cookie.name === 'authentik_csrf')?.value ?? ''
  const current = results.find(session => session.current)?.uuid
  const answer = await page.request.delete(`${coreUrl}/api/v3/core/authenticated_sessions/${current}/`, {
    headers: { 'X-authentik-CSRF': csrf, Origin: coreUrl },
  })
  assert.equal(answer.status(), 204)
}

/** Asks until the outpost refuses; fails when it still lets in after `ms`. */
async function closedWithin(page: Page, url: string, ms: number): Promise<void> {
  const until = performance.now() + ms
  for (;;) {
    const status = await statusOf(page, url)
    if (status === 302) return
    assert.equal(status, 200)
    assert.ok(performance.now() < until, `${url} still open after ${ms} ms`)
  }
}
