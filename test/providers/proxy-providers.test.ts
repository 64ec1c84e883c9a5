import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApplication } from '../../src/core/applications/applications.ts'
import { createProxyProvider, updateProxyProviderHosts } from '../../src/core/providers/proxy-providers.ts'
import { sql } from '../../src/pg/db.ts'
import { create, stored } from './proxy-rows.ts'
import { rows, startCore } from './start-core.ts'

const path = '/providers/proxy/'

test('a proxy provider is a confidential client with the four scopes, whatever was sent', async t => {
  const core = await startCore(t)
  const id = await create(core, 'wiki', {
    property_mappings: [],
    client_type: 'public',
    sub_mode: 'user_email',
    client_secret: 'a secret that is mine to choose',
    redirect_uris: [],
  })
  const row = await stored(core, id)
  assert.equal(row.client_type, 'confidential')
  assert.equal(row.sub_mode, 'hashed_user_id')
  assert.equal(row.include_claims_in_id_token, true)
  assert.equal(row.signing_key_id, null)
  const secret = core.core.secrets.open('client_secret', row.client_secret_sealed as Buffer)
  assert.match(secret, /^[A-Za-z0-9]{128}$/)
  const cookie = core.core.secrets.open('cookie_secret', row.cookie_secret_sealed as Buffer)
  assert.match(cookie, /^[A-Z0-9]{32}$/)
  const { db } = core.database
  const scopes = await db.rows<{ scope_name: string }>(sql`
    select m.scope_name from ${db.t('provider_property_mappings')} l join ${db.t('property_mappings')} m on m.id = l.mapping_id
    where l.provider_id = ${id} order by 1`)
  assert.deepEqual(
    scopes.map(scope => scope.scope_name),
    ['ak_proxy', 'email', 'openid', 'profile'],
  )
  // An update forces them again, and secrets survive it.
  await db.count(sql`update ${db.t('oauth2_providers')} set client_type = 'public', sub_mode = 'user_email'`)
  const patched = await core.admin.ask('PATCH', `${path}${id}/`, {
    property_mappings: [],
    external_host: 'https://moved.example.com',
  })
  assert.equal((patched.body.property_mappings as string[]).length, 4)
  assert.deepEqual(
    (patched.body.redirect_uris as { url: string }[]).map(uri => uri.url),
    [
      'https://moved.example.com/outpost.goauthentik.io/callback?X-authentik-auth-callback=true',
      'https://moved.example.com?X-authentik-auth-callback=true',
    ],
  )
  const again = await stored(core, id)
  assert.equal(again.client_type, 'confidential')
  assert.equal(again.client_id, row.client_id)
  assert.equal(core.core.secrets.open('client_secret', again.client_secret_sealed as Buffer), secret)
  assert.equal(core.core.secrets.open('cookie_secret', again.cookie_secret_sealed as Buffer), cookie)
})

test('nobody takes the host of a provider he may not change, nor the domain of a brand', async t => {
  const core = await startCore(t)
  const { db } = core.database
  const wiki = await create(core, 'wiki', { external_host: 'https://wiki.example.com' })
  const own = await create(core, 'own', { external_host: 'https://own.example.com' })
  const owner = await core.person('owner', [
    `authentik_providers_proxy.view_proxyprovider@${own}`,
    `authentik_providers_proxy.change_proxyprovider@${own}`,
  ])
  for (const host of [
    'https://wiki.example.com',
    'https://WIKI.example.com:443/',
    'https://wiki.example.com/path',
  ]) {
    const answer = await owner.ask('PATCH', `${path}${own}/`, { external_host: host })
    assert.equal(answer.status, 400, host)
    assert.match(String(answer.body.external_host), /address of another provider/)
  }
  await db.count(sql`insert into ${db.t('brands')} (domain) values ('login.example.com')`)
  const brand = await owner.ask('PATCH', `${path}${own}/`, { external_host: 'https://login.example.com' })
  assert.match(String(brand.body.external_host), /domain of a brand/)
  const moved = await owner.ask('PATCH', `${path}${own}/`, { external_host: 'https://wiki.example.com:8443' })
  assert.equal(moved.status, 200, JSON.stringify(moved.body))
  const both = await core.admin.ask('PATCH', `${path}${wiki}/`, {
    external_host: 'https://wiki.example.com:8443',
  })
  assert.equal(both.status, 200, 'who may change both may do so')
})

test('a change is judged on what it leads to, not on the fields it happens to name', async t => {
  const core = await startCore(t)
  const id = await create(core, 'wiki', {
    basic_auth_enabled: true,
    basic_auth_user_attribute: 'u',
    basic_auth_password_attribute: 'p',
  })
  const item = `${path}${id}/`
  assert.equal((await core.admin.ask('PATCH', item, { basic_auth_enabled: true })).status, 200)
  assert.equal((await core.admin.ask('PATCH', item, { mode: 'proxy' })).status, 200)
  assert.deepEqual((await core.admin.ask('PATCH', item, { basic_auth_user_attribute: '' })).body, {
    basic_auth_enabled: ['User and password attributes must be set when basic auth is enabled.'],
    code: 'invalid',
  })
  assert.deepEqual((await core.admin.ask('PATCH', item, { internal_host: '' })).body, {
    internal_host: ['Internal host cannot be empty when forward auth is disabled.'],
    code: 'invalid',
  })
  const own = await core.admin.ask('PATCH', item, { external_host: 'https://core.example.com' })
  assert.deepEqual(Object.keys(own.body), ['external_host', 'code'])
  // Refused changes left nothing behind.
  assert.equal((await core.admin.ask('GET', item)).body.external_host, 'https://wiki.example.com')
})

test('bodies that cannot be are refused on their field', async t => {
  const core = await startCore(t)
  await create(core, 'taken')
  const unknown = '00000000-0000-4000-8000-000000000000'
  for (const [field, body] of [
    ['name', core.proxy('taken')],
    ['name', core.proxy('x', { name: undefined })],
    ['mode', core.proxy('x', { mode: 'reverse' })],
    ['external_host', core.proxy('x', { external_host: 'javascript:alert(1)' })],
    ['authorization_flow', core.proxy('x', { authorization_flow: unknown })],
    ['certificate', core.proxy('x', { certificate: unknown })],
    ['property_mappings', core.proxy('x', { property_mappings: [unknown] })],
    ['jwt_federation_providers', core.proxy('x', { jwt_federation_providers: [4711] })],
    ['jwt_federation_sources', core.proxy('x', { jwt_federation_sources: [unknown] })],
    ['access_token_validity', core.proxy('x', { access_token_validity: 'days' })],
  ] as const) {
    const answer = await core.admin.ask('POST', path, body)
    assert.equal(answer.status, 400, `${field}: ${JSON.stringify(answer.body)}`)
    assert.deepEqual(Object.keys(answer.body), [field, 'code'], JSON.stringify(answer.body))
  }
  assert.equal(rows(await core.admin.ask('GET', path)).length, 1)
})

test('programs make the same objects without HTTP, and move them', async t => {
  const core = await startCore(t)
  const made = await core.database.db.transaction(async tx => {
    const provider = await createProxyProvider(tx, core.core, {
      name: 'Demo',
      mode: 'proxy',
      external_host: 'http://demo.localhost:9000',
      internal_host: 'http://127.0.0.1:4000',
      authorizationFlowSlug: 'default-authorization',
      invalidationFlowSlug: 'default-invalidation',
    })
    await createApplication(tx, core.core, { name: 'Demo', slug: 'demo', provider: provider.pk })
    return provider
  })
  const outpost = await core.outpost('Standalone', [made.pk])
  const before = await core.revision(outpost)
  const move = (port: number) =>
    core.database.db.transaction(tx =>
      updateProxyProviderHosts(tx, core.core, made.pk, {
        external_host: `http://demo.localhost:${port}`,
        internal_host: 'http://127.0.0.1:4001',
      }),
    )
  await move(9001)
  await move(9001)
  assert.equal(await core.revision(outpost), before + 1)
  const { body } = await core.admin.ask('GET', `${path}${made.pk}/`)
  assert.equal(body.external_host, 'http://demo.localhost:9001')
  assert.equal(body.client_id, made.clientId)
  assert.equal(body.assigned_application_slug, 'demo')
  await assert.rejects(
    core.database.db.transaction(tx =>
      createProxyProvider(tx, core.core, {
        name: 'Second',
        external_host: 'http://second.localhost',
        authorizationFlowSlug: 'no-such-flow',
        invalidationFlowSlug: 'default-invalidation',
      }),
    ),
    /no-such-flow/,
  )
})

test('two changes at once are both kept, and never lead to what neither might save', async t => {
  const core = await startCore(t)
  const id = await create(core, 'wiki')
  const item = `${path}${id}/`
  for (let round = 0; round < 8; round++) {
    await core.admin.ask('PATCH', item, {
      mode: 'forward_single',
      internal_host: 'http://10.0.0.1',
      cookie_domain: '',
      skip_path_regex: '',
    })
    const answers = await Promise.all([
      core.admin.ask('PATCH', item, { internal_host: '', cookie_domain: 'example.com' }),
      core.admin.ask('PATCH', item, { mode: 'proxy', skip_path_regex: `^/${round}` }),
    ])
    const { body } = await core.admin.ask('GET', item)
    assert.equal(answers.filter(answer => answer.status === 200).length, 1)
    const [first] = answers
    assert.deepEqual(
      [body.mode, body.internal_host, body.cookie_domain, body.skip_path_regex],
      first.status === 200
        ? ['forward_single', '', 'example.com', '']
        : ['proxy', 'http://10.0.0.1', '', `^/${round}`],
    )
    const both = await Promise.all([
      core.admin.ask('PATCH', item, { basic_auth_user_attribute: `user-${round}` }),
      core.admin.ask('PATCH', item, { basic_auth_password_attribute: `password-${round}` }),
    ])
    assert.ok(both.every(answer => answer.status === 200))
    const kept = (await core.admin.ask('GET', item)).body
    assert.equal(kept.basic_auth_user_attribute, `user-${round}`)
    assert.equal(kept.basic_auth_password_attribute, `password-${round}`)
  }
})

test('nobody hands a private key to outposts that he may not view, and what is there is not judged again', async t => {
  const core = await startCore(t)
  const pair = await core.admin.ask('POST', '/crypto/certificatekeypairs/generate/', {
    common_name: 'wiki.example.com',
    validity_days: 1,
    alg: 'ecdsa',
  })
  const id = await create(core, 'wiki')
  const item = `${path}${id}/`
  const editor = await core.person('editor', [
    'authentik_providers_proxy.view_proxyprovider',
    'authentik_providers_proxy.change_proxyprovider',
    'authentik_crypto.view_certificatekeypair',
  ])
  assert.equal((await editor.ask('PATCH', item, { certificate: pair.body.pk })).status, 403)
  assert.equal((await core.admin.ask('PATCH', item, { certificate: pair.body.pk })).status, 200)
  // He may not view flows either, and still saves a body that names the ones that are set.
  const same = core.proxy('wiki', { certificate: pair.body.pk, cookie_domain: 'example.com' })
  const saved = await editor.ask('PUT', item, same)
  assert.equal(saved.status, 200, JSON.stringify(saved.body))
  const other = await editor.ask('PATCH', item, { authorization_flow: core.flows.invalidation })
  assert.deepEqual(Object.keys(other.body), ['authorization_flow', 'code'])
})
