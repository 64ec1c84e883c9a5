import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { sql } from '../../src/pg/db.ts'
import type { Answer } from '../core/ask.ts'
import { startCore } from './start-core.ts'

type Fields = Record<string, string[]>
interface EventBody {
  action: string
  user: { username: string }
  client_ip: string
  context: {
    model?: { pk: string; name: string }
    diff?: Record<string, unknown>
    http_request?: { path: string }
  }
}
const results = <T>(answer: Answer) => (answer.body as { results: T[] }).results

test('every change leaves an event with its difference, and a change that fails leaves none', async t => {
  const core = await startCore(t)
  const { admin } = core
  const made = await admin.ask('POST', '/core/users/', { username: 'bob', name: 'Bob' })
  const { pk } = made.body as { pk: number }
  await admin.ask('PATCH', `/core/users/${pk}/`, { name: 'Robert', attributes: { api_key: 'sesame' } })
  await admin.ask('PATCH', `/core/users/${pk}/`, { name: 'Robert' })
  const clash = await admin.ask('PATCH', `/core/users/${pk}/`, { name: 'Rob', username: 'AKADMIN' })
  assert.equal(clash.status, 400)
  assert.deepEqual(clash.body, { username: ['This field must be unique.'], code: 'invalid' })
  await admin.ask('DELETE', `/core/users/${pk}/`)
  const events = results<EventBody>(
    await admin.ask('GET', `/events/events/?context_model_pk=${pk}&ordering=created`),
  )
  assert.deepEqual(
    events.map(event => event.action),
    ['model_created', 'model_updated', 'model_deleted'],
  )
  const [, updated] = events
  assert.deepEqual(updated?.context.model, {
    app: 'authentik_core',
    model_name: 'user',
    pk: String(pk),
    name: 'bob',
  })
  assert.deepEqual(updated?.context.diff?.name, { previous_value: 'Bob', new_value: 'Robert' })
  assert.ok(!JSON.stringify(updated).includes('sesame'), 'a secret in an attribute is masked')
  assert.equal(updated?.context.http_request?.path, `/api/v3/core/users/${pk}/`)
  assert.equal(updated?.user.username, 'akadmin')
})

test("CVE-2024-37905: a token's owner cannot be chosen or changed without permission", async t => {
  const core = await startCore(t)
  const eve = await core.person('eve')
  const made = await eve.ask('POST', '/core/tokens/', {
    identifier: 'mine',
    user: core.admin.id,
    managed: 'x',
  })
  assert.equal((made.body as { user: number }).user, eve.id)
  assert.equal((made.body as { managed: null }).managed, null)
  const moved = await eve.ask('PATCH', '/core/tokens/mine/', { user: core.admin.id })
  assert.equal((moved.body as { user: number }).user, eve.id)
  const taken = await core.admin.ask('PATCH', '/core/tokens/mine/', { user: core.admin.id })
  assert.equal((taken.body as { user: number }).user, core.admin.id)
  assert.equal((await eve.ask('GET', '/core/tokens/mine/')).status, 404)
})

test('a token expires unless a superuser says otherwise, no later than the maximum of its maker', async t => {
  const core = await startCore(t)
  const eve = await core.person('eve', [], {
    attributes: { 'goauthentik.io/user/token-maximum-lifetime': 'hours=2' },
  })
  const create = (identifier: string, more: object) =>
    eve.ask('POST', '/core/tokens/', { identifier, ...more })
  assert.ok('expiring' in ((await create('a', { expiring: false })).body as Fields))
  assert.ok('expires' in ((await create('b', { expires: '2001-01-01T00:00:00Z' })).body as Fields))
  const late = new Date(Date.now() + 86_400_000).toISOString()
  assert.ok('expires' in ((await create('c', { expires: late })).body as Fields))
  const made = (await create('d', {})).body as { expires: string; expiring: boolean }
  assert.ok(made.expiring && Date.parse(made.expires) <= Date.now() + 7_200_000)
  assert.equal((await create('e', { intent: 'recovery' })).status, 400)
  assert.equal((await create('not a slug', {})).status, 400)
  const { db } = core.database
  const { key } = (await eve.ask('GET', '/core/tokens/d/view_key/')).body as { key: string }
  const use = () => core.ask('GET', '/core/users/me/', undefined, { authorization: `Bearer ${key}` })
  assert.equal((await use()).status, 200)
  await db.count(
    sql`update ${db.t('tokens')} set expires_at = now() - interval '1 second' where identifier = 'd'`,
  )
  assert.equal((await use()).status, 403, 'expired, though the row is still there')
  assert.equal((await eve.ask('GET', '/core/tokens/d/')).status, 404)
})

test('a managed token can be read by an administrator and changed by nobody who merely owns it', async t => {
  const core = await startCore(t)
  const { db } = core.database
  const outpost = await core.person('ak-outpost-1', [], { type: 'internal_service_account' })
  const path = `/core/tokens/key-of-${outpost.id}/`
  await db.count(sql`
    update ${db.t('tokens')} set managed = 'goauthentik.io/outpost/x' where user_id = ${outpost.id}`)
  assert.equal((await outpost.ask('GET', path)).status, 200)
  assert.equal((await outpost.ask('DELETE', path)).status, 403)
  assert.equal((await outpost.ask('PATCH', path, { description: 'x' })).status, 403)
  assert.equal((await outpost.ask('GET', `${path}view_key/`)).status, 403)
  const seen = await core.admin.ask('GET', `${path}view_key/`)
  assert.deepEqual(seen.body, { key: outpost.key })
  const [event] = results<EventBody>(await core.admin.ask('GET', '/events/events/?action=secret_view'))
  assert.equal(event?.context.model?.name, `key-of-${outpost.id}`)
})

test('accounts of the system cannot be made or turned into by hand, and have no password', async t => {
  const core = await startCore(t)
  const type = 'internal_service_account'
  const outpost = await core.person('ak-outpost-1', [], { type })
  const bob = await core.person('bob')
  const fields = async (method: string, path: string, body: object) =>
    Object.keys((await core.admin.ask(method, path, body)).body as Fields)
  assert.deepEqual(await fields('POST', '/core/users/', { username: 'x', name: 'x', type }), ['type', 'code'])
  assert.deepEqual(await fields('PATCH', `/core/users/${bob.id}/`, { type }), ['type', 'code'])
  assert.deepEqual(await fields('PATCH', `/core/users/${outpost.id}/`, { type: 'internal' }), [
    'type',
    'code',
  ])
  const password = await core.admin.ask('POST', `/core/users/${outpost.id}/set_password/`, { password: 'x' })
  assert.equal(password.status, 400)
})

test('GHSA-c5c4-8r6x-56w3: an address is one address, and a changed one is not verified any more', async t => {
  const core = await startCore(t)
  const bob = await core.person('bob')
  const { db } = core.database
  const path = `/core/users/${bob.id}/`
  for (const email of ['a@b@c', 'a', 'a b@c', 'Bob <a@b>', 'a@b,c@d', 'a@b\n'])
    assert.equal((await core.admin.ask('PATCH', path, { email })).status, 400, email)
  const verified = async () =>
    (await db.first<{ v: boolean }>(
      sql`select email_verified as v from ${db.t('users')} where id = ${bob.id}`,
    ))!.v
  await core.admin.ask('PATCH', path, { email: 'bob@example.org' })
  await db.count(sql`update ${db.t('users')} set email_verified = true where id = ${bob.id}`)
  await core.admin.ask('PATCH', path, { name: 'Bob', email: 'bob@example.org' })
  assert.equal(await verified(), true)
  await core.admin.ask('PATCH', path, { email: 'bob@example.com' })
  assert.equal(await verified(), false)
})

test('validation answers name every field, and text that cannot be stored is no server error', async t => {
  const core = await startCore(t)
  const answer = await core.admin.ask('POST', '/core/users/', { is_active: 'perhaps', path: '' })
  assert.equal(answer.status, 400)
  const fields = answer.body as Fields
  assert.deepEqual(fields.username, ['This field is required.'])
  assert.deepEqual(fields.name, ['This field is required.'])
  assert.ok(Array.isArray(fields.is_active) && Array.isArray(fields.path))
  const path = await core.admin.ask('POST', '/core/users/', { username: 'x', name: 'x', path: '/a/' })
  assert.ok('path' in (path.body as Fields))
  const zero = await core.admin.ask('POST', '/core/users/', { username: 'a\u0000b', name: 'x' })
  assert.equal(zero.status, 400)
  const inside = await core.admin.ask('POST', '/core/groups/', { name: 'x', attributes: { a: '\u0000' } })
  assert.equal(inside.status, 400)
  const search = await core.admin.ask('GET', '/core/users/?search=%00')
  assert.equal(search.status, 400)
})

test('events cannot be changed or deleted, and only what may be reported can be added', async t => {
  const core = await startCore(t)
  const [event] = results<{ pk: string }>(
    await core.admin
      .ask('POST', '/core/groups/', { name: 'g' })
      .then(() => core.admin.ask('GET', '/events/events/')),
  )
  for (const method of ['PUT', 'PATCH', 'DELETE'])
    assert.equal((await core.admin.ask(method, `/events/events/${event!.pk}/`, {})).status, 405)
  const outpost = await core.person('ak-outpost-1', ['authentik_events.add_event'], {
    type: 'internal_service_account',
  })
  const human = await core.person('human', ['authentik_events.add_event'])
  const report = { app: 'proxy', client_ip: '192.0.2.7', user: { username: 'akadmin' } }
  const byOutpost = await outpost.ask('POST', '/events/events/', { ...report, action: 'configuration_error' })
  assert.equal(byOutpost.status, 201)
  assert.equal((byOutpost.body as EventBody).client_ip, '192.0.2.7')
  assert.equal((byOutpost.body as EventBody).user.username, 'ak-outpost-1', 'never whom the body names')
  assert.equal((await outpost.ask('POST', '/events/events/', { ...report, action: 'login' })).status, 403)
  assert.equal(
    (await human.ask('POST', '/events/events/', { ...report, action: 'configuration_error' })).status,
    403,
  )
  assert.equal((await human.ask('POST', '/events/events/', { ...report, action: 'no_such' })).status, 400)
  const custom = await human.ask('POST', '/events/events/', { ...report, action: 'custom_x' })
  assert.equal((custom.body as EventBody).client_ip, '127.0.0.1')
})

test('a private key must fit its certificate, whichever half is replaced, and outposts hear of it', async t => {
  const core = await startCore(t)
  const { admin } = core
  const { db } = core.database
  const generate = async (common_name: string) => {
    const made = await admin.ask('POST', '/crypto/certificatekeypairs/generate/', {
      common_name,
      validity_days: 1,
      alg: 'ecdsa',
    })
    const { pk } = made.body as { pk: string }
    const view = async (what: string) =>
      ((await admin.ask('GET', `/crypto/certificatekeypairs/${pk}/view_${what}/`)).body as { data: string })
        .data
    return { pk, certificate: await view('certificate'), key: await view('private_key') }
  }
  const one = await generate('one.test')
  const two = await generate('two.test')
  const path = `/crypto/certificatekeypairs/${one.pk}/`
  await db.count(sql`
    insert into ${db.t('outposts')} (name, type, managed, user_id) values ('o', 'proxy', 'embedded', ${admin.id})`)
  await admin.ask('POST', '/core/brands/', { domain: 'one.test', web_certificate: one.pk })
  const heard = () => core.published.splice(0).map(message => message.type)
  heard()
  assert.ok('key_data' in ((await admin.ask('PATCH', path, { key_data: two.key })).body as Fields))
  assert.ok(
    'key_data' in ((await admin.ask('PATCH', path, { certificate_data: two.certificate })).body as Fields),
  )
  assert.ok(
    'certificate_data' in ((await admin.ask('PATCH', path, { certificate_data: 'x' })).body as Fields),
  )
  assert.deepEqual(heard(), [])
  const both = await admin.ask('PATCH', path, { certificate_data: two.certificate, key_data: two.key })
  assert.equal(both.status, 200)
  assert.deepEqual(heard(), ['outpost.update'])
  const stored = await db.first<{ sealed: Buffer }>(sql`
    select private_key_sealed as sealed from ${db.t('certificate_keypairs')} where id = ${one.pk}`)
  assert.ok(!stored!.sealed.includes('PRIVATE KEY'), 'sealed at rest')
  const download = await admin.ask('GET', `${path}view_certificate/?download=true`)
  assert.equal(download.headers.get('content-disposition'), 'attachment; filename="one.test_certificate.pem"')
  assert.equal(download.body, two.certificate)
})

test('the schema describes the routes that are there, in JSON and in YAML', async t => {
  const core = await startCore(t)
  const json = (await core.ask('GET', '/schema/?format=json')).body as {
    openapi: string
    paths: Record<string, Record<string, { operationId: string; responses: Record<string, unknown> }>>
  }
  assert.match(json.openapi, /^3\./)
  const described = new Set<string>()
  for (const [path, operations] of Object.entries(json.paths))
    for (const method of Object.keys(operations)) described.add(`${method.toUpperCase()} ${path}`)
  for (const route of core.routes) {
    if (route.schema?.hide === true || route.method === 'HEAD') continue
    const path = route.url.slice('/api/v3'.length).replaceAll(/:([a-z_]+)/g, '{$1}')
    assert.ok(described.has(`${route.method} ${path}`), `${route.method} ${path} is missing`)
  }
  const operations = Object.values(json.paths).flatMap(path =>
    Object.values(path).map(entry => entry.operationId),
  )
  assert.equal(new Set(operations).size, operations.length, 'operation ids are unique')
  const yaml = await core.ask('GET', '/schema/')
  assert.deepEqual(parse(yaml.body as string), json)
})

test('headers that authenticate are not shown to an operator', async t => {
  const core = await startCore(t)
  const page = await core.browser(core.admin.id)
  const answer = await core.ask('GET', '/admin/system/', undefined, page.headers)
  assert.equal(answer.status, 200)
  assert.ok(!JSON.stringify(answer.body).includes('authentik_session'))
})
