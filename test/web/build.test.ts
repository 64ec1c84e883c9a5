import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ensureWebBuilt } from '../../web/build.ts'

const cache = fileURLToPath(new URL('../../node_modules/.cache', import.meta.url))

test('the pages are built when missing or made from other sources, once for all who ask, and not again', async () => {
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, 'web-test-'))
  const dist = join(folder, 'dist')
  const stamp = join(dist, '.vite/sources')
  const lines: string[] = []
  const log = { info: (event: string) => lines.push(event), warning: (event: string) => lines.push(event) }
  try {
    await Promise.all([ensureWebBuilt({ log, dist }), ensureWebBuilt({ log, dist })])
    assert.deepEqual(lines, ['built the web pages'])
    const manifest = JSON.parse(await readFile(join(dist, '.vite/manifest.json'), 'utf8')) as Record<
      string,
      { file: string; isEntry?: boolean }
    >
    const entries = Object.keys(manifest).filter(key => manifest[key]?.isEntry === true)
    assert.deepEqual(entries.sort(), ['flow/main.tsx', 'user/main.tsx'])
    const first = await readFile(stamp, 'utf8')

    await ensureWebBuilt({ log, dist })
    assert.equal(lines.length, 1)

    await writeFile(stamp, 'other sources')
    await ensureWebBuilt({ log, dist })
    assert.equal(lines.length, 2)
    assert.equal(await readFile(stamp, 'utf8'), first)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
