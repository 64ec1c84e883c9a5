import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { password, user } from '../../web/dev/flows.ts'
import { launchBrowser, onStage } from './browser.ts'

let browser: Browser
before(async () => {
  browser = await launchBrowser()
})
after(() => browser.close())

test('access denied gives the reason, the request id and another account', async () => {
  await onStage(browser, async ({ server, page }) => {
    await page.goto(`${server.url}/if/flow/denied/`)
    await page.getByText('You do not have access to Grafana.').waitFor()
    await page.getByText('0123456789abcdef0123456789abcdef').waitFor()
    const other = await page.getByRole('link', { name: 'Use another account' }).getAttribute('href')
    assert.equal(other, `/flows/-/default/invalidation/?next=${encodeURIComponent('/if/flow/denied/')}`)
  })
})

test('the end of an application session offers the library, the application, and signing out of everything', async () => {
  await onStage(browser, async ({ server, page }) => {
    await page.goto(`${server.url}/if/flow/session-end/`)
    await page.getByText('You signed out of Grafana.').waitFor()
    await page.getByRole('link', { name: 'Sign out of Postern' }).waitFor()
    await page.getByRole('link', { name: 'To my applications' }).waitFor()
    await page.getByRole('link', { name: 'Back to Grafana' }).click()
    await page.waitForURL(`${server.url}/launched/grafana`)
  })
})

test('a form for another page is posted by itself, values unharmed', async () => {
  await onStage(browser, async ({ server, page, complaints }) => {
    await page.goto(`${server.url}/if/flow/autosubmit/`)
    await page.waitForURL(`${server.url}/received`)
    const posted = new URLSearchParams(await page.locator('body').innerText())
    assert.equal(posted.get('answer'), 'a <b> "c"')
    assert.deepEqual(complaints, [])
  })
})

test('a redirect to a script is not followed', async () => {
  await onStage(browser, async ({ server, page }) => {
    await page.goto(`${server.url}/if/flow/script-redirect/`)
    await page.getByRole('heading', { name: 'This link cannot be followed' }).waitFor()
    assert.notEqual(await page.title(), 'owned')
  })
})

test('unknown steps, server errors and no connection show a card with the request id and a way on', async () => {
  await onStage(browser, async ({ server, page }) => {
    await page.goto(`${server.url}/if/flow/unknown/`)
    await page.getByText('ak-stage-of-tomorrow').waitFor()
    await page.getByText('0123456789abcdef0123456789abcdef').waitFor()
    await page.getByRole('link', { name: 'Start again' }).waitFor()

    server.state.failWith = 500
    await page.goto(`${server.url}/if/flow/login/`)
    await page.getByRole('heading', { name: 'Something went wrong' }).waitFor()
    await page.getByText('0123456789abcdef0123456789abcdef').waitFor()
    server.state.failWith = 0
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByLabel('User name or email address').waitFor()

    await page.context().setOffline(true)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { name: 'No connection' }).waitFor()
    await page.context().setOffline(false)
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByLabel('User name or email address').waitFor()
  })
})

test('a challenge of the wrong shape shows a card and never an empty page', async () => {
  await onStage(browser, async ({ server, page }) => {
    await page.goto(`${server.url}/if/flow/malformed/`)
    await page.getByRole('heading', { name: 'This page failed' }).waitFor()
    await page.getByRole('link', { name: 'Start again' }).waitFor()
  })
})

test('the server error page shows the id the server named', async () => {
  await onStage(browser, async ({ server, page }) => {
    await page.goto(`${server.url}/if/flow/error/`)
    await page.getByText('f'.repeat(32)).waitFor()
  })
})

test('answers carry the CSRF cookie, and a refused one is explained', async () => {
  await onStage(browser, async ({ server, page }) => {
    await page.goto(`${server.url}/if/flow/login/`)
    await page.getByLabel('User name or email address').fill(user)
    await page.context().clearCookies()
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { name: 'Request refused' }).waitFor()
    assert.deepEqual(server.state.answers, [])
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByLabel('User name or email address').fill(user)
    await page.getByLabel('Password', { exact: true }).fill(password)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.waitForURL(`${server.url}/if/user/`)
  })
})
