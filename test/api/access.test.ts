import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Answer } from '../core/ask.ts'
import { startCore, type TestCore } from './start-core.ts'

/** Unsafe calls an ordinary user may make: each only ever reaches what is his own. */
const ownThings = new Set(['POST /api/v3/core/tokens/'])

interface Call {
  method: string
  path: string
  pattern: string
}

/** Every route of the API as a call that names objects which exist and belong to somebody else. */
async function calls(core: TestCore): Promise<Call[]> {
  const victim = await core.admin
  const group = await core.admin.ask('POST', '/core/groups/', { name: 'victims' })
  const role = await core.admin.ask('POST', '/rbac/roles/', { name: 'victim' })
  const brand = await core.admin.ask('POST', '/core/brands/', { domain: 'victim.test' })
  const pair = await core.admin.ask('POST', '/crypto/certificatekeypairs/generate/', {
    common_name: 'victim.test',
    validity_days: 1,
    alg: 'ecdsa',
  })
  const session = await core.browser(victim.id)
  const events = await core.admin.ask('GET', '/events/events/')
  const pk = (answer: Answer) => (answer.body as { pk: string }).pk
  const places: [string, string][] = [
    ['/core/users/', String(victim.id)],
    ['/core/groups/', pk(group)],
    ['/rbac/permissions/assigned_by_roles/', pk(role)],
    ['/rbac/roles/', pk(role)],
    ['/core/brands/', (brand.body as { brand_uuid: string }).brand_uuid],
    ['/crypto/certificatekeypairs/', pk(pair)],
    ['/core/authenticated_sessions/', session.id],
    ['/core/tokens/', `key-of-${victim.id}`],
    ['/core/user_consent/', '1'],
    ['/events/events/', (events.body as { results: { pk: string }[] }).results[0]!.pk],
    ['/rbac/permissions/', '1'],
  ]
  return core.routes.flatMap(route =>
    [route.method].flat().map(method => {
      const place = places.find(([prefix]) => route.url.startsWith(`/api/v3${prefix}`))
      const path = route.url.slice('/api/v3'.length).replaceAll(/:[a-z_]+/g, place?.[1] ?? 'x')
      return { method, path, pattern: `${method} ${route.url}` }
    }),
  )
}

const isUnsafe = (call: Call) => !['GET', 'HEAD', 'OPTIONS'].includes(call.method)
const body = (call: Call) => (call.method === 'DELETE' ? undefined : {})

test('CVE-2026-55106, GHSA-4r87-w2cx-fr3f, GHSA-jpx7-5hcf-w9xp: every route says who may call it, and no unsafe one can be called without credentials', async t => {
  const core = await startCore(t)
  const all = await calls(core)
  for (const route of core.routes) assert.notEqual(route.config?.access, undefined, route.url)
  for (const call of all.filter(isUnsafe)) {
    const anonymous = await core.ask(call.method, call.path, body(call))
    assert.equal(anonymous.status, 403, call.pattern)
    assert.equal((anonymous.body as { code: string }).code, 'not_authenticated', call.pattern)
    const stranger = await core.ask(call.method, call.path, body(call), { authorization: 'Bearer stranger' })
    assert.equal(stranger.status, 403, call.pattern)
    assert.equal((stranger.body as { detail: string }).detail, 'Token invalid/expired')
  }
})

test('an ordinary user without permission can write nothing that is not his own', async t => {
  const core = await startCore(t)
  const nobody = await core.person('ordinary')
  const bodies: Record<string, unknown> = {
    'PUT /api/v3/core/users/:id/': { username: 'x', name: 'x' },
    'PUT /api/v3/core/groups/:group_uuid/': { name: 'x' },
    'POST /api/v3/core/groups/:group_uuid/add_user/': { pk: nobody.id },
    'POST /api/v3/core/groups/:group_uuid/remove_user/': { pk: core.admin.id },
    'PUT /api/v3/rbac/roles/:uuid/': { name: 'x' },
    'POST /api/v3/rbac/roles/:uuid/add_user/': { pk: nobody.id },
    'POST /api/v3/rbac/roles/:uuid/remove_user/': { pk: nobody.id },
    'POST /api/v3/rbac/permissions/assigned_by_roles/:uuid/assign/': {
      permissions: ['authentik_core.view_user'],
    },
    'PATCH /api/v3/rbac/permissions/assigned_by_roles/:uuid/unassign/': {
      permissions: ['authentik_core.view_user'],
    },
    'PUT /api/v3/core/tokens/:identifier/': { identifier: 'x' },
    'POST /api/v3/core/tokens/:identifier/set_key/': { key: 'x'.repeat(30) },
    'PUT /api/v3/core/brands/:brand_uuid/': { domain: 'x.test' },
    'PUT /api/v3/crypto/certificatekeypairs/:kp_uuid/': { name: 'x', certificate_data: 'x' },
    'POST /api/v3/core/users/:id/set_password/': { password: 'a new one' },
  }
  const refused: string[] = []
  for (const call of (await calls(core)).filter(isUnsafe)) {
    if (ownThings.has(call.pattern) || call.pattern.includes('/events/events/:event_uuid/')) continue
    const answer = await nobody.ask(call.method, call.path, bodies[call.pattern] ?? body(call))
    assert.ok(
      [403, 404].includes(answer.status),
      `${call.pattern}: ${answer.status} ${JSON.stringify(answer.body)}`,
    )
    refused.push(call.pattern)
  }
  // 3 updates and deletes of 5 resources, their creations, and the actions above.
  assert.ok(refused.length >= 35, refused.join('\n'))
  for (const pattern of Object.keys(bodies)) assert.ok(refused.includes(pattern), `${pattern} was not walked`)
})

test('what is public is exactly the configuration, the brand of the host and the schema', async t => {
  const core = await startCore(t)
  const open: string[] = []
  for (const call of (await calls(core)).filter(call => call.method === 'GET')) {
    const answer = await core.ask('GET', call.path)
    if (answer.status !== 403) open.push(call.path)
  }
  assert.deepEqual(open.sort(), ['/core/brands/current/', '/root/config/', '/schema/'])
})

test('reading without permission shows own tokens and sessions only, and no object of others', async t => {
  const core = await startCore(t)
  const nobody = await core.person('ordinary')
  const mine = await core.browser(nobody.id)
  const open = new Set([
    '/core/users/me/',
    '/core/users/paths/',
    '/core/brands/current/',
    '/root/config/',
    '/schema/',
    '/admin/version/',
    '/events/events/actions/',
    '/rbac/permissions/',
    '/rbac/permissions/1/',
  ])
  for (const call of (await calls(core)).filter(call => call.method === 'GET')) {
    const answer = await nobody.ask('GET', call.path)
    if (open.has(call.path)) continue
    const rows = (answer.body as { results?: Record<string, unknown>[] }).results
    if (rows === undefined) assert.ok([403, 404].includes(answer.status), `${call.path}: ${answer.status}`)
    else if (call.path === '/core/tokens/')
      assert.deepEqual(
        rows.map(row => row.user),
        [nobody.id],
      )
    else if (call.path === '/core/authenticated_sessions/')
      assert.deepEqual(
        rows.map(row => row.uuid),
        [mine.id],
      )
    else assert.deepEqual(rows, [], call.path)
  }
})

test('an unknown filter, an unknown ordering and a page beyond the last are refused', async t => {
  const core = await startCore(t)
  const unknown = await core.admin.ask('GET', '/core/users/?usrname=x&page=1')
  assert.equal(unknown.status, 400)
  assert.deepEqual(unknown.body, { usrname: ['Unknown parameter.'], code: 'invalid' })
  const order = await core.admin.ask('GET', '/core/users/?ordering=password')
  assert.equal(order.status, 400)
  assert.deepEqual(Object.keys(order.body as object), ['ordering', 'code'])
  const beyond = await core.admin.ask('GET', '/core/users/?page=9')
  assert.equal(beyond.status, 404)
  assert.deepEqual(beyond.body, { detail: 'Invalid page.' })
  const missing = await core.admin.ask('GET', `/core/groups/${randomUUID()}/`)
  assert.equal(missing.status, 404)
  assert.deepEqual(missing.body, { detail: 'Not found.' })
})

test('an authenticated list costs one statement for who asks and one of its own', async t => {
  const core = await startCore(t)
  await core.admin.ask('GET', '/core/users/')
  for (const path of ['/core/users/', '/core/groups/', '/core/tokens/', '/core/brands/', '/events/events/']) {
    const statements = await core.database.countStatements(() => core.admin.ask('GET', path))
    assert.equal(
      statements.filter(text => !text.includes('last_used_at = now()')).length,
      2,
      statements.join('\n'),
    )
  }
})
