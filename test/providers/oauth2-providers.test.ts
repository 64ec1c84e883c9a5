import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { column, rows, startCore, type TestCore } from './start-core.ts'

const path = '/providers/oauth2/'

async function create(core: TestCore, name: string, more?: Record<string, unknown>): Promise<number> {
  const made = await core.admin.ask('POST', path, core.oauth2(name, more))
  assert.equal(made.status, 201, JSON.stringify(made.body))
  return made.body.pk as number
}

async function keyPair(core: TestCore, name: string): Promise<string> {
  const made = await core.admin.ask('POST', '/crypto/certificatekeypairs/generate/', {
    common_name: name,
    validity_days: 1,
    alg: 'ecdsa',
  })
  return made.body.pk as string
}

test('a client secret is shown to who may change the provider, and written by nobody else', async t => {
  const core = await startCore(t)
  const id = await create(core, 'grafana')
  const other = await create(core, 'other')
  const secret = (await core.admin.ask('GET', `${path}${id}/`)).body.client_secret as string
  assert.match(secret, /^[A-Za-z0-9]{128}$/)
  const viewer = await core.person('viewer', ['authentik_providers_oauth2.view_oauth2provider'])
  for (const place of [path, `${path}${id}/`, '/providers/all/', `/providers/all/${id}/`]) {
    const answer = await viewer.ask('GET', place)
    assert.equal(answer.status, 200)
    assert.ok(!JSON.stringify(answer.body).includes('client_secret'), place)
  }
  const editor = await core.person('editor', [
    'authentik_providers_oauth2.view_oauth2provider',
    `authentik_providers_oauth2.change_oauth2provider@${id}`,
  ])
  const list = rows(await editor.ask('GET', `${path}?ordering=pk`))
  assert.deepEqual(
    list.map(row => row.client_secret),
    [secret, undefined],
  )
  assert.equal((await viewer.ask('PATCH', `${path}${id}/`, { client_secret: 'x'.repeat(40) })).status, 403)
  assert.equal((await editor.ask('PATCH', `${path}${other}/`, { name: 'taken over' })).status, 403)
  const changed = await editor.ask('PATCH', `${path}${id}/`, { client_secret: 'x'.repeat(40) })
  assert.equal(changed.body.client_secret, 'x'.repeat(40))
  const { db } = core.database
  const events = await db.rows<{ context: string }>(
    sql`select context::text as context from ${db.t('events')}`,
  )
  assert.ok(events.some(event => event.context.includes('client_secret')))
  for (const { context } of events) {
    assert.ok(!context.includes(secret), 'the old secret is in an event')
    assert.ok(!context.includes('x'.repeat(40)), 'the new secret is in an event')
  }
  const sealed = await db.rows<{ client_secret_sealed: Buffer }>(
    sql`select client_secret_sealed from ${db.t('oauth2_providers')}`,
  )
  for (const row of sealed) assert.ok(!row.client_secret_sealed.toString('latin1').includes('xxxx'))
})

test('redirect URIs that run code are refused when they are saved (CVE-2024-21637, CVE-2026-9086)', async t => {
  const core = await startCore(t)
  const id = await create(core, 'grafana')
  for (const url of [
    'javascript:alert(1)',
    'JaVaScript:alert(1)',
    'data:text/html,x',
    'https://a@b.example/',
  ]) {
    for (const redirect_uri_type of ['authorization', 'logout']) {
      const uris = [{ matching_mode: 'strict', url, redirect_uri_type }]
      for (const [method, place, body] of [
        ['POST', path, core.oauth2('second', { redirect_uris: uris })],
        ['PATCH', `${path}${id}/`, { redirect_uris: uris }],
      ] as const) {
        const answer = await core.admin.ask(method, place, body)
        assert.equal(answer.status, 400, url)
        assert.deepEqual(Object.keys(answer.body), ['redirect_uris', 'code'])
      }
    }
  }
})

test('a redirect URI is compared as text unless it is said to be a pattern (CVE-2024-52289)', async t => {
  const core = await startCore(t)
  const uris = [{ matching_mode: 'strict', url: 'https://a.example/.*' }]
  const id = await create(core, 'grafana', { redirect_uris: uris })
  const { body } = await core.admin.ask('GET', `${path}${id}/`)
  assert.deepEqual(body.redirect_uris, [{ ...uris[0], redirect_uri_type: 'authorization' }])
  const unsaid = core.oauth2('second', { redirect_uris: [{ url: 'https://a.example/.*' }] })
  assert.equal((await core.admin.ask('POST', path, unsaid)).status, 400)
})

test('a pattern that lets in everybody is saved with a warning among the events', async t => {
  const core = await startCore(t)
  const warnings = async () =>
    column(await core.admin.ask('GET', '/events/events/?action=configuration_warning'), 'context')
  await create(core, 'narrow', {
    redirect_uris: [{ matching_mode: 'regex', url: 'https://a\\.example/cb/[0-9]+' }],
  })
  assert.deepEqual(await warnings(), [])
  await create(core, 'wide', { redirect_uris: [{ matching_mode: 'regex', url: 'https://.*' }] })
  const [warning] = (await warnings()) as { patterns: string[]; provider: string }[]
  assert.deepEqual(warning?.patterns, ['https://.*'])
  assert.equal(warning?.provider, 'wide')
})

test('bodies that cannot be are refused on their field', async t => {
  const core = await startCore(t)
  const id = await create(core, 'taken', { client_id: 'taken-client' })
  const unknown = '00000000-0000-4000-8000-000000000000'
  const key = await keyPair(core, 'a.example')
  const { db } = core.database
  const bare = await keyPair(core, 'b.example')
  await db.count(sql`update ${db.t('certificate_keypairs')} set private_key_sealed = null where id = ${bare}`)
  for (const [field, more] of [
    ['name', { name: 'taken' }],
    ['client_id', { client_id: 'taken-client' }],
    ['client_id', { client_id: 'with space' }],
    ['client_secret', { client_secret: 'short' }],
    ['client_type', { client_type: 'secret' }],
    ['grant_types', { grant_types: ['magic'] }],
    ['redirect_uris', { redirect_uris: undefined }],
    ['access_code_validity', { access_code_validity: 'seconds=0' }],
    ['access_token_validity', { access_token_validity: 'one hour' }],
    ['signing_key', { signing_key: unknown }],
    ['signing_key', { signing_key: bare }],
    ['encryption_key', { encryption_key: key }],
    ['logout_uri', { logout_uri: 'javascript:alert(1)' }],
    ['jwt_federation_providers', { jwt_federation_providers: [4711] }],
  ] as const) {
    const answer = await core.admin.ask('POST', path, core.oauth2('new', more))
    assert.equal(answer.status, 400, `${field}: ${JSON.stringify(answer.body)}`)
    assert.deepEqual(Object.keys(answer.body), [field, 'code'], JSON.stringify(answer.body))
  }
  const fine = await core.admin.ask('PATCH', `${path}${id}/`, {
    signing_key: key,
    sub_mode: 'user_email',
    refresh_token_threshold: '',
    jwt_federation_providers: [id],
    client_type: 'public',
  })
  assert.equal(fine.status, 200, JSON.stringify(fine.body))
  assert.equal(fine.body.signing_key, key)
  assert.deepEqual(fine.body.jwt_federation_providers, [id])
})

test('what a body refers to must be there for who sends it', async t => {
  const core = await startCore(t)
  const key = await keyPair(core, 'a.example')
  const other = await create(core, 'other')
  const author = await core.person('author', ['authentik_providers_oauth2.add_oauth2provider'])
  const refused = async (more: Record<string, unknown>) => {
    const answer = await author.ask('POST', path, core.oauth2('new', more))
    assert.equal(answer.status, 400, JSON.stringify(answer.body))
    return Object.keys(answer.body)[0]
  }
  assert.equal(await refused({}), 'authorization_flow')
  const { db } = core.database
  const grant = (permission: string) =>
    db.count(
      sql`insert into ${db.t('role_permissions')} (role_id, permission) values (${author.role}, ${permission})`,
    )
  await grant('authentik_flows.view_flow')
  assert.equal(await refused({ signing_key: key }), 'signing_key')
  assert.equal(await refused({ jwt_federation_providers: [other] }), 'jwt_federation_providers')
  const mappings = await core.admin.ask('GET', '/propertymappings/provider/scope/')
  assert.equal(await refused({ property_mappings: [column(mappings, 'pk')[0]] }), 'property_mappings')
  await grant('authentik_crypto.view_certificatekeypair')
  const made = await author.ask('POST', path, core.oauth2('new', { signing_key: key }))
  assert.equal(made.status, 201)
  // Whoever created it without the right to change it does not get the secret either.
  assert.equal(made.body.client_secret, undefined)
})

test('addresses need view on the provider, claims of somebody change on it and view on him', async t => {
  const core = await startCore(t)
  const alice = await core.person('alice', [], { email: 'alice@example.com' })
  const mappings = await core.admin.ask('GET', '/propertymappings/provider/scope/')
  const id = await create(core, 'grafana', { property_mappings: column(mappings, 'pk') })
  const ofNobody = await core.admin.ask('GET', `${path}${id}/setup_urls/`)
  assert.equal(ofNobody.body.issuer, null)
  assert.equal(ofNobody.body.authorize, 'https://core.example.com/application/o/authorize/')
  const preview = `${path}${id}/preview_user/?for_user=${alice.id}`
  assert.equal((await core.admin.ask('GET', preview)).status, 400)
  await core.admin.ask('POST', '/core/applications/', { name: 'Grafana', slug: 'grafana', provider: id })
  const claims = (await core.admin.ask('GET', preview)).body.preview as Record<string, unknown>
  assert.equal(claims.email, 'alice@example.com')
  assert.equal(claims.iss, 'https://core.example.com/application/o/grafana/')
  const viewer = await core.person('viewer', [
    'authentik_providers_oauth2.view_oauth2provider',
    'authentik_core.view_user',
  ])
  assert.equal((await viewer.ask('GET', `${path}${id}/setup_urls/`)).status, 200)
  assert.equal((await viewer.ask('GET', preview)).status, 403)
  const editor = await core.person('editor', [
    `authentik_providers_oauth2.view_oauth2provider@${id}`,
    `authentik_providers_oauth2.change_oauth2provider@${id}`,
  ])
  assert.equal((await editor.ask('GET', preview)).status, 400)
  assert.equal((await editor.ask('GET', `${path}${id}/preview_user/`)).status, 200)
  assert.equal((await alice.ask('GET', `${path}${id}/setup_urls/`)).status, 404)
  assert.equal((await alice.ask('GET', preview)).status, 404)
})
