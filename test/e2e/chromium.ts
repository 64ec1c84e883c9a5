// A browser and what a person does with it, for the end-to-end tests.
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { request } from 'node:http'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'

const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path =>
  existsSync(path),
)

/** Starts Chromium, closed with the test. @throws Error that says what to install */
export async function openBrowser(t: TestContext): Promise<Browser> {
  if (executable === undefined)
    throw new Error('Chromium is missing: apt-get install -y --no-install-recommends chromium')
  const browser = await chromium.launch({
    executablePath: executable,
    args: [
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  t.after(() => browser.close())
  return browser
}

export interface Visit {
  context: BrowserContext
  page: Page
  /** script errors and violations of the content security policy */
  complaints: string[]
}

/** A fresh browser profile. */
export async function visit(browser: Browser, options: { dark?: boolean } = {}): Promise<Visit> {
  const context = await browser.newContext({
    viewport: { width: 1200, height: 800 },
    reducedMotion: 'reduce',
    colorScheme: options.dark === true ? 'dark' : 'light',
  })
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  const complaints: string[] = []
  page.on('pageerror', error => complaints.push(String(error)))
  page.on('console', message => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text())
  })
  return { context, page, complaints }
}

/** Fills the login page that is shown and submits it. */
export async function signIn(page: Page, username: string, password: string): Promise<void> {
  await page.getByLabel('User name or email address').fill(username)
  await page.getByLabel('Password', { exact: true }).fill(password)
  await page.getByRole('button', { name: 'Log in' }).click()
}

/** Waits until the demo application greets. */
export async function demoShown(page: Page): Promise<void> {
  await page.getByRole('heading', { name: /^Hello, / }).waitFor()
}

/** Waits until Core has ended the session and says so. */
export async function signedOut(page: Page): Promise<void> {
  await page.waitForURL(/\/signed-out\/$/)
}

/** Status of a GET of `/` with the browser's cookies, redirects not followed; `*.localhost` is this machine, as for browsers. */
export async function statusOf(page: Page, url: string): Promise<number> {
  const { host, port } = new URL(url)
  const cookies = await page.context().cookies(url)
  const headers = {
    Host: host,
    Accept: 'text/html',
    Cookie: cookies.map(c => `${c.name}=${c.value}`).join('; '),
  }
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path: '/', headers }, answer => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
    asked.on('error', reject)
    asked.end()
  })
}

/** Keeps a picture for the documents, only when asked for: a test run changes no file of the repository. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env.POSTERN_TEST_PICTURES
  if (folder === undefined) return
  const path = join(folder, name)
  await mkdir(dirname(path), { recursive: true })
  await page.screenshot({ path })
}
