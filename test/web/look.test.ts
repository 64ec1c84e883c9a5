import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Browser } from 'playwright-core'
import { webDist } from '../../web/build.ts'
import { launchBrowser, onStage } from './browser.ts'
import { assertAccessible } from './page-checks.ts'

let browser: Browser
before(async () => {
  browser = await launchBrowser()
})
after(() => browser.close())

const pages = [
  '/if/flow/login/',
  '/if/flow/consent/',
  '/if/flow/initial-setup/',
  '/if/flow/denied/',
  '/if/flow/session-end/',
  '/if/flow/error/',
  '/if/user/',
  '/if/user/#/sessions',
]

for (const colorScheme of ['light', 'dark'] as const) {
  for (const viewport of [
    { width: 320, height: 640 },
    { width: 1280, height: 800 },
  ]) {
    test(`every page is readable, named and fits: ${colorScheme}, ${viewport.width} px`, async () => {
      await onStage(
        browser,
        async ({ server, page, complaints }) => {
          server.state.signedIn = true
          for (const path of pages) {
            await page.goto(server.url + path)
            await page.locator('h1').waitFor()
            if (path.startsWith('/if/user/')) await page.locator('.cards li, .sessions li').first().waitFor()
            await assertAccessible(page, path)
          }
          await page.goto(`${server.url}/if/flow/login/`)
          await page.getByRole('button', { name: 'Sign in' }).click()
          await page.getByRole('alert').waitFor()
          await assertAccessible(page, 'login with an error')
          assert.deepEqual(complaints, [])
        },
        { colorScheme, viewport },
      )
    })
  }
}

test('the theme switch wins over the system, and is remembered on both pages', async () => {
  await onStage(
    browser,
    async ({ server, page }) => {
      server.state.signedIn = true
      await page.goto(`${server.url}/if/user/`)
      const background = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
      await page.getByRole('button', { name: 'Dark' }).waitFor()
      const light = await background()
      await page.getByRole('button', { name: 'Dark' }).click()
      const dark = await background()
      assert.notEqual(dark, light)
      await page.goto(`${server.url}/if/flow/login/`)
      await page.getByRole('button', { name: 'Dark', pressed: true }).waitFor()
      assert.equal(await background(), dark)
    },
    { colorScheme: 'light' },
  )
})

test('a brand shows its own name and logo, and the mark when the logo does not load', async () => {
  await onStage(browser, async ({ server, page, complaints }) => {
    server.state.brand = { branding_title: 'Acme <ID>', branding_logo: '/static/dist/postern.svg' }
    await page.goto(`${server.url}/if/flow/login/`)
    await page.getByText('Acme <ID>', { exact: true }).waitFor()
    await page.locator('img.brand-logo').waitFor()
    assert.equal(await page.title(), 'Sign in – Acme <ID>')
    server.state.brand = { branding_logo: '/media/public/gone.png' }
    await page.reload()
    await page.locator('.crown svg.mark').waitFor()
    assert.deepEqual(complaints, [])
  })
})

test('the background of a brand replaces the drawn wall', async () => {
  await onStage(browser, async ({ server, page, complaints }) => {
    const background = () =>
      page.evaluate<string>("getComputedStyle(document.querySelector('.wall')).backgroundImage")
    await page.goto(`${server.url}/if/flow/login/`)
    await page.locator('h1').waitFor()
    assert.equal(await background(), 'none')
    server.state.brand = { default_flow_background: '/static/dist/postern.svg?a="b"' }
    await page.reload()
    await page.locator('h1').waitFor()
    assert.equal(await background(), `url("${server.url}/static/dist/postern.svg?a=%22b%22")`)
    assert.deepEqual(complaints, [])
  })
})

test('styles made at run time carry the nonce: the theme applies under the policy', async () => {
  await onStage(browser, async ({ server, page }) => {
    await page.goto(`${server.url}/if/flow/login/`)
    await page.locator('h1').waitFor()
    const script =
      "getComputedStyle(document.documentElement).getPropertyValue('--mantine-color-verdigris-8')"
    assert.equal(await page.evaluate<string>(script), '#1d5a4f')
  })
})

test('the scripts of the flow page stay under 120 KiB gzip, all chunks needed for first paint', async () => {
  const text = await readFile(join(webDist, '.vite/manifest.json'), 'utf8')
  const manifest = JSON.parse(text) as Record<string, { file: string; imports?: string[] }>
  const files = new Set<string>()
  const visit = (key: string) => {
    const chunk = manifest[key]
    assert.ok(chunk !== undefined, `the manifest names ${key}`)
    if (files.has(chunk.file)) return
    files.add(chunk.file)
    for (const next of chunk.imports ?? []) visit(next)
  }
  visit('flow/main.tsx')
  const sizes = await Promise.all(
    [...files].map(async file => gzipSync(await readFile(join(webDist, file))).length),
  )
  const total = sizes.reduce((sum, size) => sum + size, 0)
  assert.ok(total > 20 * 1024, `measured something: ${total}`)
  assert.ok(total <= 120 * 1024, `${total} bytes`)
})
