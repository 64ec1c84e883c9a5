// What Core remembers between requests: nothing is asked twice, and a change is seen by every process.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Core } from '../../src/core/core.ts'
import { createSelfSigned } from '../../src/core/crypto/self-signed.ts'
import { registerRoutes } from '../../src/core/routes.ts'
import { silentLog } from '../../src/log.ts'
import type { Bus } from '../../src/pg/bus.ts'
import { createCache } from '../../src/pg/cache.ts'
import { sql } from '../../src/pg/db.ts'
import { startCore, type TestCore } from '../flows/core-app.ts'
import { addClient, type TestCore as OidcCore } from '../oidc/core-app.ts'
import { eventually } from '../pg/eventually.ts'
import { startProcess } from '../pg/process.ts'
import { askApi } from './ask.ts'
import { listen, originOf, serve } from './bare-core.ts'
import { addKeyholder } from './people.ts'

const flowPage = '/if/flow/default-authentication-flow/'

/** Core in a process of its own towards the database. @param through the bus, as this process is to use it */
async function startAnother(t: TestContext, test: TestCore, name: string, through = (bus: Bus): Bus => bus) {
  const process = await startProcess(test.database.target, name, { intervalMs: 600_000, resyncMs: 600_000 })
  const bus = through(process.bus)
  const memory = createCache({ db: process.db, bus, log: silentLog })
  const server = await listen()
  const origin = originOf(server)
  const core: Core = { ...test.core, db: process.db, bus, memory, baseUrl: new URL('http://127.0.0.1') }
  const { close } = await serve(t, core, app => void registerRoutes(app, core), server)
  t.after(async () => {
    await close()
    memory.close()
    await process.close()
  })
  const text = async (path: string) => (await fetch(origin + path, { redirect: 'manual' })).text()
  return {
    ...{ core, origin, memory, text },
    title: async () => /<title>(.*)<\/title>/.exec(await text(flowPage))?.[1] ?? '',
    brand: async () =>
      (JSON.parse(await text('/api/v3/core/brands/current/')) as { branding_title: string }).branding_title,
    kid: async () =>
      (JSON.parse(await text('/application/o/app/jwks/')) as { keys: { kid: string }[] }).keys[0]?.kid,
    scopes: async () =>
      (
        JSON.parse(await text('/application/o/app/.well-known/openid-configuration')) as {
          scopes_supported: string[]
        }
      ).scopes_supported.join(' '),
  }
}

async function startAll(t: TestContext, deaf = false) {
  const test = await startCore(t)
  const { db } = test.database
  await addClient(test as unknown as OidcCore, 'app', { key: 'ecdsa' })
  const { key } = await addKeyholder(test.core, 'root', 'superuser')
  const mute = (bus: Bus): Bus => ({ ...bus, publish: () => {} })
  const one = await startAnother(t, test, 'one', deaf ? mute : undefined)
  const two = await startAnother(t, test, 'two')
  const [brand] = await db.rows(sql<{ id: string }>`select id from brands where is_default`)
  const change = async (method: string, path: string, body?: unknown) => {
    const answer = await askApi(one.origin, key, method, path, body)
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }
  return { test, db, one, two, change, brand: `/core/brands/${brand?.id}/` }
}

test('pages, discovery and keys that were shown once are shown again without the database', async t => {
  const { test, two } = await startAll(t)
  const paths = [
    flowPage,
    '/api/v3/core/brands/current/',
    '/application/o/app/.well-known/openid-configuration',
    '/application/o/app/jwks/',
  ]
  for (const path of paths) {
    const first = await test.database.countStatements(() => two.text(path))
    const again = await test.database.countStatements(() => two.text(path))
    t.diagnostic(`${path}: ${first.length} statements, then ${again.length}`)
    assert.deepEqual(again, [], path)
  }
  const unknown = await test.database.countStatements(() => two.text('/application/o/none/jwks/'))
  assert.equal(unknown.length, 1, 'that there is none is asked every time, and costs no more')
})

test('a change made through one process is shown by the other', async t => {
  const { db, one, two, change, brand } = await startAll(t)
  const both = [one, two]
  for (const process of both) {
    await Promise.all([process.title(), process.brand(), process.kid(), process.scopes()])
  }
  const seen = async (what: string, by: (process: typeof one) => Promise<boolean>) => {
    assert.ok(await by(one), `${what}: not at once by the process that changed it`)
    const began = performance.now()
    await eventually(() => by(two), 20_000)
    t.diagnostic(`${what}: ${Math.round(performance.now() - began)} ms later by the other process`)
  }
  await change('PATCH', brand, { branding_title: 'Rebranded' })
  await seen('title of the brand', async process => (await process.brand()) === 'Rebranded')
  await seen('title of the page', async process => (await process.title()).endsWith('Rebranded'))
  await change('PATCH', '/flows/instances/default-authentication-flow/', { title: 'Come in' })
  await seen('title of the flow', async process => (await process.title()).startsWith('Come in'))

  const pair = await createSelfSigned({
    commonName: 'new',
    alternativeNames: [],
    days: 30,
    algorithm: 'ecdsa',
  })
  const created = (await change('POST', '/crypto/certificatekeypairs/', {
    name: 'new',
    certificate_data: pair.certificatePem,
    key_data: pair.privateKeyPem,
  })) as { pk: string }
  const [provider] = await db.rows(
    sql<{ id: number }>`select provider_id as id from oauth2_providers limit 1`,
  )
  const before = await two.kid()
  await change('PATCH', `/providers/oauth2/${provider?.id}/`, { signing_key: created.pk })
  await seen('signing key', async process => (await process.kid()) !== before)
  const [mapping] = await db.rows(
    sql<{ id: string }>`select id from property_mappings where scope_name = 'email'`,
  )
  await change('PATCH', `/providers/oauth2/${provider?.id}/`, { property_mappings: [mapping?.id] })
  await seen('scopes', async process => (await process.scopes()) === 'openid email')
  await change('PATCH', '/core/applications/app/', { slug: 'renamed' })
  await seen('slug of the application', async process =>
    /"code"|Not found/.test(await process.text('/application/o/app/jwks/')),
  )
  assert.match(await two.text('/application/o/renamed/jwks/'), /"kid"/)
})

test('with every message lost a change is shown after half a minute at the latest', {
  timeout: 150_000,
}, async t => {
  const { two, change, brand } = await startAll(t, true)
  assert.notEqual(await two.brand(), 'Rebranded')
  await change('PATCH', brand, { branding_title: 'Rebranded' })
  const began = performance.now()
  assert.notEqual(await two.brand(), 'Rebranded', 'it was remembered')
  await eventually(async () => (await two.brand()) === 'Rebranded', 90_000)
  const seconds = (performance.now() - began) / 1000
  t.diagnostic(`shown after ${seconds.toFixed(1)} s`)
  // Memory lasts 30 s; the rest is for a busy machine.
  assert.ok(seconds < 60, `${seconds} s`)
})

test('whether a host is ours is never a memory', async t => {
  const { two, change } = await startAll(t, true)
  const ask = async (host: string) => {
    const { request } = await import('node:http')
    return await new Promise<number>((resolve, reject) => {
      request(`${two.origin}${flowPage}`, { headers: { host } }, response => {
        response.resume()
        resolve(response.statusCode ?? 0)
      })
        .on('error', reject)
        .end()
    })
  }
  assert.equal(await ask('id.brand.example'), 421)
  const made = (await change('POST', '/core/brands/', { domain: 'brand.example' })) as { brand_uuid: string }
  assert.equal(await ask('id.brand.example'), 200)
  await change('DELETE', `/core/brands/${made.brand_uuid}/`)
  assert.equal(await ask('id.brand.example'), 421)
})
