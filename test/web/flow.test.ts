import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { password, user } from '../../web/dev/flows.ts'
import { launchBrowser, onStage } from './browser.ts'
import { assertAccessible } from './page-checks.ts'

let browser: Browser
before(async () => {
  browser = await launchBrowser()
})
after(() => browser.close())

const focused = (page: Page) =>
  page.evaluate<string>(
    'document.activeElement.name || document.activeElement.getAttribute("role") || document.activeElement.textContent',
  )

test('a wrong password is said and focused, the right one leads to where the user wanted to go', async () => {
  await onStage(browser, async ({ server, page, complaints }) => {
    const next = '/launched/grafana?from=%2Fd%2F1&x=a+b'
    await page.goto(`${server.url}/if/flow/login/?next=${encodeURIComponent(next)}`)
    const name = page.getByLabel('User name or email address')
    await name.waitFor()
    assert.equal(await focused(page), 'uid_field')
    await name.fill(user)
    await page.getByLabel('Password', { exact: true }).fill('wrong')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').getByText('User name or password is wrong.').waitFor()
    assert.equal(await focused(page), 'alert')
    assert.equal(await name.inputValue(), user)
    assert.equal(await page.getByLabel('Password', { exact: true }).inputValue(), '')
    await page.getByLabel('Password', { exact: true }).fill(password)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.waitForURL(server.url + next)
    assert.deepEqual(server.state.answers.at(-1), {
      component: 'ak-stage-identification',
      uid_field: user,
      password,
    })
    for (const query of server.state.queries) assert.equal(new URLSearchParams(query).get('next'), next)
    assert.deepEqual(complaints, [])
  })
})

test('password managers find a real form with the usual names in the page itself', async () => {
  await onStage(browser, async ({ server, page }) => {
    await page.goto(`${server.url}/if/flow/login/`)
    const form = page.locator('form')
    await form.locator('input[autocomplete="username"]').waitFor()
    assert.equal(await form.locator('input[type="password"][autocomplete="current-password"]').count(), 1)
    await page.goto(`${server.url}/if/flow/initial-setup/`)
    await page.locator('input[autocomplete="new-password"]').first().waitFor()
    assert.equal(await page.locator('input[type="password"][autocomplete="new-password"]').count(), 2)
  })
})

test('the user name is remembered on the device when asked, and forgotten when asked', async () => {
  await onStage(browser, async ({ server, page }) => {
    const signIn = async () => {
      await page.getByLabel('Password', { exact: true }).fill(password)
      await page.keyboard.press('Enter')
      await page.waitForURL(`${server.url}/if/user/`)
      await page.goto(`${server.url}/if/flow/login/`)
    }
    await page.goto(`${server.url}/if/flow/login/`)
    const name = page.getByLabel('User name or email address')
    await name.fill(user)
    await page.getByLabel('Remember my user name').check()
    await signIn()
    await page.getByLabel('Remember my user name').waitFor()
    assert.equal(await name.inputValue(), user)
    assert.equal(await focused(page), 'password')
    assert.equal(
      await page.evaluate<string>('JSON.stringify(localStorage)').then(text => text.includes(password)),
      false,
    )
    await page.getByLabel('Remember my user name').uncheck()
    await signIn()
    await name.waitFor()
    assert.equal(await name.inputValue(), '')
  })
})

test('the typed password can be shown and hidden again', async () => {
  await onStage(browser, async ({ server, page }) => {
    await page.goto(`${server.url}/if/flow/login/`)
    const field = page.locator('input[name="password"]')
    await field.fill('secret')
    await page.getByRole('button', { name: 'Show or hide the password' }).click()
    assert.equal(await field.getAttribute('type'), 'text')
    await page.getByRole('button', { name: 'Show or hide the password' }).click()
    assert.equal(await field.getAttribute('type'), 'password')
  })
})

test('identification, password and staying signed in work as steps of their own', async () => {
  await onStage(browser, async ({ server, page, complaints }) => {
    await page.goto(`${server.url}/if/flow/steps/`)
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByText('This field may not be blank.').waitFor()
    assert.equal(await focused(page), 'uid_field')
    await page.getByLabel('User name or email address').fill(user)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Enter your password' }).waitFor()
    assert.equal(await page.locator('form input[autocomplete="username"]').inputValue(), user)
    assert.equal(await focused(page), 'password')
    await page.getByLabel('Password').fill('wrong')
    await page.keyboard.press('Enter')
    await page.getByText('Invalid password.').waitFor()
    await page.getByLabel('Password').fill(password)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Stay signed in?' }).waitFor()
    await page.getByRole('button', { name: 'No', exact: true }).click()
    await page.waitForURL(`${server.url}/if/user/`)
    assert.deepEqual(server.state.answers.at(-1), { component: 'ak-stage-user-login', remember_me: false })
    assert.deepEqual(complaints, [])
  })
})

test('“Not you?” drops the progress and comes back to the first step', async () => {
  await onStage(browser, async ({ server, page }) => {
    await page.goto(`${server.url}/if/flow/steps/?next=%2Fx`)
    await page.getByLabel('User name or email address').fill(user)
    await page.keyboard.press('Enter')
    await page.getByRole('link', { name: 'Not you?' }).click()
    await page.getByLabel('User name or email address').waitFor()
    assert.equal(page.url(), `${server.url}/if/flow/steps/?next=%2Fx`)
  })
})

test('consent lists what is asked, marks what is new, and sends the token back', async () => {
  await onStage(browser, async ({ server, page, complaints }) => {
    await page.goto(`${server.url}/if/flow/consent/`)
    const items = page.getByRole('list', { name: 'The application will receive:' }).getByRole('listitem')
    await items.first().waitFor()
    assert.deepEqual(await items.allInnerTexts(), ['Your name and user name\nnew', 'Your email address'])
    await page.getByText('alice', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.waitForURL(`${server.url}/if/user/`)
    assert.deepEqual(server.state.answers, [{ component: 'ak-stage-consent', token: 'consent-token' }])
    assert.deepEqual(complaints, [])
  })
})

test('the initial set-up shows its fields in order, rates the password, and points at a wrong repetition', async () => {
  await onStage(browser, async ({ server, page, complaints }) => {
    await page.goto(`${server.url}/if/flow/initial-setup/`)
    await page.getByText('Choose how the administrator').waitFor()
    assert.deepEqual(await page.locator('label').allInnerTexts(), [
      'Email address',
      'Password',
      'Password (again)',
    ])
    await page.getByLabel('Email address').fill('root@example.com')
    await page.getByLabel('Password', { exact: true }).fill('password1')
    await page.getByText('Easy to guess').waitFor()
    await page.getByLabel('Password', { exact: true }).fill('otter lamp brisk violin')
    await page.getByText('Strong.').waitFor()
    await page.getByLabel('Password (again)').fill('otter')
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByText('The passwords do not match.').waitFor()
    assert.equal(await focused(page), 'password_repeat')
    await assertAccessible(page, 'a prompt with an error')
    for (const label of ['Password', 'Password (again)']) {
      await page.getByLabel(label, { exact: true }).fill('otter lamp brisk violin')
    }
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.waitForURL(`${server.url}/if/user/`)
    assert.deepEqual(server.state.answers.at(-1), {
      component: 'ak-stage-prompt',
      email: 'root@example.com',
      password: 'otter lamp brisk violin',
      password_repeat: 'otter lamp brisk violin',
    })
    assert.deepEqual(complaints, [])
  })
})
