// Chromium for the page tests, with what every test asserts: no policy violation, no script error, no request elsewhere.
import { existsSync } from 'node:fs'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { ensureWebBuilt } from '../../web/build.ts'
import { createDevServer, type DevServer } from '../../web/dev/server.ts'

const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path =>
  existsSync(path),
)

export interface Stage {
  server: DevServer
  page: Page
  /** console errors, policy violations, script errors and requests to other origins, as they happen */
  complaints: string[]
}

/** Starts Chromium. @throws Error that says what to install */
export async function launchBrowser(): Promise<Browser> {
  if (executable === undefined) {
    throw new Error('Chromium is missing: apt-get install -y --no-install-recommends chromium')
  }
  await ensureWebBuilt({ log: { info: () => {}, warning: () => {} } })
  const args = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
  if (process.getuid?.() === 0) args.push('--no-sandbox')
  return await chromium.launch({
    executablePath: executable,
    args: [...args, '--disable-component-update', '--disable-sync'],
  })
}

/** One browser window on a development server of its own; both are closed when `run` is through. */
export async function onStage(
  browser: Browser,
  run: (stage: Stage) => Promise<void>,
  options: BrowserContextOptions = {},
): Promise<void> {
  const server = await createDevServer()
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options })
  try {
    const page = await context.newPage()
    page.setDefaultTimeout(15_000)
    const complaints: string[] = []
    // A failed fetch is part of some tests; Chromium reports it as an error line of its own.
    page.on('console', message => {
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
        complaints.push(message.text())
      }
    })
    page.on('pageerror', error => complaints.push(String(error)))
    page.on('request', request => {
      if (!request.url().startsWith(server.url) && !request.url().startsWith('data:')) {
        complaints.push(`request to ${request.url()}`)
      }
    })
    await run({ server, page, complaints })
  } finally {
    await context.close()
    await server.close()
  }
}
