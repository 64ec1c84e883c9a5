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

test('whoever is not signed in goes to the sign-in page and comes back to the same page', async () => {
  await onStage(browser, async ({ server, page, complaints }) => {
    await page.goto(`${server.url}/if/user/#/sessions`)
    await page.getByLabel('User name or email address').fill(user)
    await page.getByLabel('Password', { exact: true }).fill(password)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Sessions' }).waitFor()
    assert.equal(page.url(), `${server.url}/if/user/#/sessions`)
    assert.deepEqual(complaints, [])
  })
})

test('applications stand in their groups, with letters where there is no icon, and a mark for new tabs', async () => {
  await onStage(browser, async ({ server, page, complaints }) => {
    server.state.signedIn = true
    await page.goto(`${server.url}/if/user/`)
    const office = page.getByRole('region', { name: 'Office' })
    await office.getByRole('link', { name: 'Nextcloud' }).waitFor()
    assert.equal(await office.getByRole('link').count(), 3)
    assert.deepEqual(await page.getByRole('heading', { level: 2 }).allInnerTexts(), ['Engineering', 'Office'])
    await page.locator('a', { hasText: 'Roundcube' }).locator('.tile', { hasText: 'R' }).waitFor()
    const wiki = page.getByRole('link', { name: 'Wiki (opens in a new tab)' })
    assert.equal(await wiki.getAttribute('target'), '_blank')
    assert.equal(await wiki.getAttribute('rel'), 'noopener noreferrer')
    await page.getByRole('link', { name: 'Home Assistant' }).click()
    await page.waitForURL(`${server.url}/launched/home-assistant`)
    assert.deepEqual(complaints, [])
  })
})

test('slash goes to the search, typing narrows it, Enter opens the first', async () => {
  await onStage(browser, async ({ server, page }) => {
    server.state.signedIn = true
    await page.goto(`${server.url}/if/user/`)
    await page.getByRole('link', { name: 'Grafana' }).waitFor()
    await page.keyboard.press('/')
    await page.keyboard.type('photos')
    await page.getByRole('link', { name: 'Grafana' }).waitFor({ state: 'detached' })
    assert.equal(await page.getByRole('main').getByRole('link').count(), 1)
    await page.keyboard.press('Escape')
    await page.keyboard.type('zzz')
    await page.getByText('Nothing here is called “zzz”').waitFor()
    await page.keyboard.press('Escape')
    await page.keyboard.type('graf')
    await page.keyboard.press('Enter')
    await page.waitForURL(`${server.url}/launched/grafana`)
  })
})

test('Enter opens an application of the new-tab kind in a new tab', async () => {
  await onStage(browser, async ({ server, page }) => {
    server.state.signedIn = true
    await page.goto(`${server.url}/if/user/`)
    await page.getByRole('link', { name: 'Wiki' }).waitFor()
    await page.keyboard.press('/')
    await page.keyboard.type('wiki')
    const opened = page.context().waitForEvent('page')
    await page.keyboard.press('Enter')
    await (await opened).waitForURL(`${server.url}/launched/wiki`)
    assert.equal(page.url(), `${server.url}/if/user/#/`.replace('#/', ''))
  })
})

test('a launch address that would run a script is no link', async () => {
  await onStage(browser, async ({ server, page }) => {
    server.state.signedIn = true
    const [first] = server.state.applications as Record<string, unknown>[]
    server.state.applications = [{ ...first, launch_url: 'javascript:alert(1)' }]
    await page.goto(`${server.url}/if/user/`)
    await page.locator('.card').waitFor()
    assert.equal(await page.locator('.card').getAttribute('href'), null)
  })
})

test('without applications the page says what to do', async () => {
  await onStage(browser, async ({ server, page }) => {
    server.state.signedIn = true
    server.state.applications = []
    await page.goto(`${server.url}/if/user/`)
    await page.getByRole('heading', { name: 'No applications yet' }).waitFor()
    assert.equal(await page.getByLabel('Search applications').count(), 0)
  })
})

test('sessions show only one’s own, the current one first; ending asks once more', async () => {
  await onStage(browser, async ({ server, page, complaints }) => {
    server.state.signedIn = true
    await page.goto(`${server.url}/if/user/`)
    await page.getByRole('link', { name: 'Sessions' }).click()
    const rows = page.locator('.sessions li')
    await rows.nth(2).waitFor()
    assert.equal(await rows.count(), 3)
    assert.match(await rows.nth(0).innerText(), /^Chromium on Linux\s*this one/)
    await page.getByRole('button', { name: 'End session: Safari on iOS, 192.0.2.3' }).click()
    await page.keyboard.press('Escape')
    assert.equal(server.state.sessions.length, 4)
    await page.getByRole('button', { name: 'End session: Safari on iOS, 192.0.2.3' }).click()
    await page.getByRole('group', { name: 'End this session?' }).getByRole('button', { name: 'End' }).click()
    await page.getByText('Safari on iOS').waitFor({ state: 'detached' })
    assert.equal(server.state.sessions.length, 3)
    assert.deepEqual(complaints, [])
  })
})

test('ending all others leaves the current session and those of other people', async () => {
  await onStage(browser, async ({ server, page }) => {
    server.state.signedIn = true
    await page.goto(`${server.url}/if/user/#/sessions`)
    await page.getByRole('button', { name: 'End all others' }).click()
    await page
      .getByRole('group', { name: 'End all other sessions?' })
      .getByRole('button', { name: 'End' })
      .click()
    await page.getByText('Firefox on Linux').waitFor({ state: 'detached' })
    assert.deepEqual(
      server.state.sessions.map(row => [row.user, row.current]),
      [
        [5, true],
        [9, false],
      ],
    )
  })
})

test('ending the current session leads to the sign-in page', async () => {
  await onStage(browser, async ({ server, page }) => {
    server.state.signedIn = true
    await page.goto(`${server.url}/if/user/#/sessions`)
    await page.getByRole('button', { name: 'End session: Chromium on Linux, 192.0.2.2' }).click()
    await page
      .getByRole('group', { name: 'Sign yourself out here?' })
      .getByRole('button', { name: 'End' })
      .click()
    await page.getByLabel('User name or email address').waitFor()
  })
})

test('signing out leads through the invalidation flow', async () => {
  await onStage(browser, async ({ server, page }) => {
    server.state.signedIn = true
    await page.goto(`${server.url}/if/user/`)
    await page.getByRole('link', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'You are signed out' }).waitFor()
    assert.equal(server.state.signedIn, false)
  })
})

test('everything can be reached with the keyboard, and the skip button goes past the header', async () => {
  await onStage(browser, async ({ server, page }) => {
    server.state.signedIn = true
    await page.goto(`${server.url}/if/user/`)
    await page.getByRole('link', { name: 'Grafana' }).waitFor()
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    assert.equal(await page.evaluate<string>('document.activeElement.id'), 'main')
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate<string>('document.activeElement.type'), 'search')
    await page.keyboard.press('Tab')
    assert.match(await page.evaluate<string>('document.activeElement.className'), /card/)
  })
})
