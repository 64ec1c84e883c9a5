import assert from 'node:assert/strict'
import { readdir, readlink, rename, symlink, unlink, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { registerMediaMetrics } from '../../src/core/media/media-metrics.ts'
import { eventually } from '../pg/eventually.ts'
import { png, startCore, type TestCore } from './start-core.ts'

/** The path as it is, which `fetch` would tidy. */
function get(origin: string, path: string, headers = {}): Promise<{ status: number; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const sent = request(origin, { path, headers }, response => {
      const parts: Buffer[] = []
      response.on('data', part => parts.push(part))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts) }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

async function uploaded(core: TestCore, file: Blob, name: string): Promise<string> {
  const { status, body } = await core.admin.upload(file, { name })
  assert.equal(status, 200, JSON.stringify(body))
  return String(body.url)
}

const headersOf = (response: Response, ...names: string[]) => names.map(name => response.headers.get(name))

test('a content is kept for ever by browsers, a name for a day, and neither runs anything', async t => {
  const core = await startCore(t)
  const url = await uploaded(core, png('a'), 'a.png')
  const byAddress = await fetch(core.origin + url)
  const byName = await fetch(`${core.origin}/media/public/a.png`)
  assert.deepEqual(await byAddress.bytes(), await byName.bytes())
  const policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
  for (const response of [byAddress, byName])
    assert.deepEqual(
      headersOf(
        response,
        'content-type',
        'content-security-policy',
        'x-content-type-options',
        'content-disposition',
      ),
      ['image/png', policy, 'nosniff', 'inline'],
    )
  assert.deepEqual(headersOf(byAddress, 'cache-control'), ['public, max-age=31536000, immutable'])
  assert.deepEqual(headersOf(byName, 'cache-control'), ['public, max-age=86400'])
  assert.match(byAddress.headers.get('etag') ?? '', /^"[0-9a-f]{32}"$/)
  assert.equal(byName.headers.get('etag'), byAddress.headers.get('etag'))
})

test('the type is that of the content, whatever the name says', async t => {
  const core = await startCore(t)
  const svg = new Blob(['<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0h1v1z"/></svg>'])
  const url = await uploaded(core, svg, 'page.html')
  assert.match(url, /\.svg$/)
  const response = await fetch(`${core.origin}/media/public/page.html`)
  assert.deepEqual(headersOf(response, 'content-type'), ['image/svg+xml'])
  assert.match(response.headers.get('content-security-policy') ?? '', /sandbox/)
})

test('a browser that has it gets 304, one that asks for a part gets the part', async t => {
  const core = await startCore(t)
  const file = png('abcdefgh', 5000)
  const whole = Buffer.from(await file.arrayBuffer())
  const url = core.origin + (await uploaded(core, file, 'a.png'))
  const ask = (headers: Record<string, string>, method = 'GET') => fetch(url, { method, headers })
  const etag = (await ask({})).headers.get('etag') ?? ''

  const kept = await ask({ 'if-none-match': `"other", W/${etag}` })
  assert.deepEqual([kept.status, await kept.text()], [304, ''])
  assert.deepEqual(headersOf(kept, 'etag', 'cache-control'), [etag, 'public, max-age=31536000, immutable'])

  const part = await ask({ range: 'bytes=1000-1999' })
  assert.equal(part.status, 206)
  assert.deepEqual(headersOf(part, 'content-range', 'content-length'), ['bytes 1000-1999/5000', '1000'])
  assert.deepEqual(Buffer.from(await part.bytes()), whole.subarray(1000, 2000))
  const end = await ask({ range: 'bytes=-10', 'if-range': etag })
  assert.deepEqual(Buffer.from(await end.bytes()), whole.subarray(4990))
  const stale = await ask({ range: 'bytes=0-9', 'if-range': '"other"' })
  assert.deepEqual([stale.status, (await stale.bytes()).length], [200, 5000])
  const beyond = await ask({ range: 'bytes=5000-' })
  assert.deepEqual([beyond.status, ...headersOf(beyond, 'content-range')], [416, 'bytes */5000'])

  const head = await ask({ range: 'bytes=0-9' }, 'HEAD')
  assert.deepEqual(
    [head.status, ...headersOf(head, 'content-length', 'accept-ranges')],
    [200, '5000', 'bytes'],
  )
  assert.equal((await head.bytes()).length, 0)
})

test('a large file comes as a stream, and one whose reader leaves is closed', async t => {
  const core = await startCore(t)
  const size = 4 * 1024 * 1024
  const file = png('large ', size)
  const whole = Buffer.from(await file.arrayBuffer())
  const url = core.origin + (await uploaded(core, file, 'large.png'))
  assert.ok(Buffer.from(await (await fetch(url)).bytes()).equals(whole))
  const part = await fetch(url, { headers: { range: `bytes=7-${size - 8}` } })
  assert.ok(Buffer.from(await part.bytes()).equals(whole.subarray(7, size - 7)))

  const leave = new AbortController()
  const begun = await fetch(url, { signal: leave.signal })
  assert.equal((await begun.body!.getReader().read()).done, false)
  leave.abort()
  await eventually(async () => !(await openFiles()).some(path => path.startsWith(core.directory)))
})

async function openFiles(): Promise<string[]> {
  const links = await readdir('/proc/self/fd')
  return Promise.all(links.map(link => readlink(`/proc/self/fd/${link}`).catch(() => '')))
}

test('an address of a content costs no statement, a name one', async t => {
  const core = await startCore(t)
  const url = core.origin + (await uploaded(core, png('a'), 'a.png'))
  const statements = (path: string, headers = {}) =>
    core.database.countStatements(async () => {
      const response = await fetch(path, { headers })
      await response.bytes()
    })
  assert.deepEqual(await statements(url), [])
  assert.deepEqual(await statements(url, { range: 'bytes=0-3' }), [])
  assert.equal((await statements(`${core.origin}/media/public/a.png`)).length, 1)
})

test('a file that is not here is 404 and not kept; the operator is told once, and counts', async t => {
  const core = await startCore(t)
  const url = await uploaded(core, png('a'), 'a.png')
  await unlink(join(core.directory, url.slice('/media/public/'.length)))
  for (const path of [url, url, '/media/public/a.png']) {
    const response = await fetch(core.origin + path)
    assert.deepEqual(
      [response.status, ...headersOf(response, 'cache-control', 'etag')],
      [404, 'no-store', null],
    )
  }
  const told = core.log.filter(line => line.event === 'media file is missing')
  assert.equal(told.length, 1)
  assert.equal(told[0]?.directory, core.directory)
  const registry = new Registry()
  registerMediaMetrics({ registry, media: core.media })
  assert.match(await registry.metrics(), /^authentik_media_missing_total 3$/m)
  await uploaded(core, png('a'), 'a.png')
  assert.equal((await fetch(core.origin + url)).status, 200, 'uploading it again mends it')
})

test('a replica with a folder of its own shows what it has and misses the rest', async t => {
  const core = await startCore(t)
  const other = await core.replica(`${core.directory}-other`)
  const url = await uploaded(core, png('a'), 'a.png')
  assert.equal((await fetch(other.origin + url)).status, 404)
  assert.equal(other.media.missing(), 1)
  assert.equal((await other.as(core.admin.key).upload(png('a'), { name: 'a.png' })).status, 200)
  assert.equal((await fetch(other.origin + url)).status, 200)
  const shared = await core.replica()
  assert.equal((await fetch(shared.origin + url)).status, 200)
})

test('no path leads out of the folder, to what is being written, or through a link', async t => {
  const core = await startCore(t)
  const url = await uploaded(core, png('a'), 'a.png')
  const address = url.slice('/media/public/'.length)
  const secret = join(core.directory, '..', 'secret.png')
  await writeFile(secret, 'secret')
  await writeFile(join(core.directory, address.slice(0, 2), '.upload-0123456789abcdef.tmp'), 'half')
  const elsewhere = address.replace(/\.png$/, '.gif')
  await symlink(secret, join(core.directory, elsewhere))
  const paths = [
    '/media/public/../secret.png',
    '/media/public/..%2fsecret.png',
    '/media/public/%2e%2e/secret.png',
    '/media/public/a/../../../secret.png',
    '/media/public/..\\secret.png',
    `/media/public/${address.slice(0, 2)}/../../secret.png`,
    `/media/public/${address.slice(0, 2)}/.upload-0123456789abcdef.tmp`,
    `/media/public/${address.slice(0, 2)}`,
    '/media/public/',
    '/media/public//etc/passwd',
    '/media/public/a.png%00',
    `/media/public/${elsewhere}`,
    `/media/public/${'0'.repeat(2)}/${'0'.repeat(64)}.png`,
  ]
  for (const path of paths) {
    const { status, body } = await get(core.origin, path)
    assert.ok(status === 404 || status === 400, `${path} ${status}`)
    assert.ok(!body.includes('secret') || body.includes('Not found'), path)
  }
  assert.equal(core.media.missing(), 0)
  await rename(secret, `${secret}.gone`)
})
