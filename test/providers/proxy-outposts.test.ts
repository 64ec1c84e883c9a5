import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { addSession, create, permissionsOf, sessions, stored } from './proxy-rows.ts'
import { column, startCore } from './start-core.ts'

const path = '/providers/proxy/'

test('outposts are told about a change once, and about no change never', async t => {
  const core = await startCore(t)
  const id = await create(core, 'wiki')
  const other = await create(core, 'other')
  const outpost = await core.outpost('Outpost', [id])
  const uninvolved = await core.outpost('Other outpost', [other])
  const before = await core.revision(outpost)
  const beforeOther = await core.revision(uninvolved)
  core.published.length = 0
  await core.admin.ask('PATCH', `${path}${id}/`, { external_host: 'https://wiki.example.com', mode: 'proxy' })
  assert.equal(await core.revision(outpost), before)
  assert.deepEqual(core.published, [])
  await core.admin.ask('PATCH', `${path}${id}/`, { skip_path_regex: '^/public/' })
  assert.equal(await core.revision(outpost), before + 1)
  assert.equal(await core.revision(uninvolved), beforeOther)
  assert.deepEqual(core.published, [{ type: 'outpost.update', body: { outpost, revision: before + 1 } }])
  assert.deepEqual((await core.admin.ask('GET', `${path}${id}/`)).body.outpost_set, ['Outpost'])
})

test("an outpost's permissions follow the certificate and the end of its provider", async t => {
  const core = await startCore(t)
  const id = await create(core, 'wiki')
  const outpost = await core.outpost('Outpost', [id])
  const before = ['authentik_outposts.view_outpost', 'authentik_providers_proxy.view_proxyprovider']
  assert.deepEqual(await permissionsOf(core, outpost), before)
  const pair = await core.admin.ask('POST', '/crypto/certificatekeypairs/generate/', {
    common_name: 'wiki.example.com',
    validity_days: 1,
    alg: 'ecdsa',
  })
  await core.admin.ask('PATCH', `${path}${id}/`, { certificate: pair.body.pk })
  assert.equal((await permissionsOf(core, outpost)).length, 5)
  await core.admin.ask('PATCH', `${path}${id}/`, { certificate: null })
  assert.deepEqual(await permissionsOf(core, outpost), before)
  assert.equal((await core.admin.ask('DELETE', `${path}${id}/`)).status, 204)
  assert.deepEqual(await permissionsOf(core, outpost), ['authentik_outposts.view_outpost'])
})

test("a new cookie secret and the end of a provider end its sessions, and nobody else's", async t => {
  const core = await startCore(t)
  const id = await create(core, 'wiki')
  const other = await create(core, 'other')
  const clientId = (await stored(core, id)).client_id
  const otherClientId = (await stored(core, other)).client_id
  await addSession(core, clientId)
  await addSession(core, otherClientId)
  const secret = 'an entirely new secret for cookies'
  core.published.length = 0
  const answer = await core.admin.ask('PATCH', `${path}${id}/`, { cookie_secret: secret })
  assert.equal(answer.status, 200)
  assert.ok(!JSON.stringify(answer.body).includes(secret))
  assert.equal(await sessions(core), 1)
  assert.equal(core.published.filter(message => message.type === 'session.end').length, 1)
  await addSession(core, clientId)
  await core.admin.ask('PATCH', `${path}${id}/`, { cookie_secret: secret })
  assert.equal(await sessions(core), 2)
  const deleted = await core.admin.ask('DELETE', `/providers/all/${id}/`)
  assert.equal(deleted.status, 204)
  assert.equal(await sessions(core), 1)
  const { db } = core.database
  const events = await db.rows<{ text: string; revocation: string | null }>(sql`
    select context::text as text, revocation_id as revocation from ${db.t('events')} where action = 'model_deleted'`)
  assert.equal(events.length, 1)
  assert.notEqual(events[0]?.revocation, null)
  assert.equal((await core.admin.ask('DELETE', `${path}${other}/`)).status, 204)
  assert.equal(await sessions(core), 0)
})

test('no secret of a proxy provider stands in any answer or event', async t => {
  const core = await startCore(t)
  const id = await create(core, 'wiki')
  const row = await stored(core, id)
  const secrets = [
    core.core.secrets.open('client_secret', row.client_secret_sealed as Buffer),
    core.core.secrets.open('cookie_secret', row.cookie_secret_sealed as Buffer),
  ]
  await core.admin.ask('POST', '/core/applications/', { name: 'Wiki', slug: 'wiki', provider: id })
  await core.admin.ask('PATCH', `${path}${id}/`, { name: 'Wiki' })
  for (const place of [
    path,
    `${path}${id}/`,
    '/providers/all/',
    `/providers/all/${id}/`,
    '/providers/oauth2/',
    '/core/applications/',
    '/core/applications/wiki/',
    `${path}${id}/used_by/`,
    '/events/events/',
  ]) {
    const answer = await core.admin.ask('GET', place)
    assert.equal(answer.status, 200, place)
    for (const secret of secrets) assert.ok(!JSON.stringify(answer.body).includes(secret), place)
  }
  // It is no OAuth2 provider for the resource of those, which shows and writes secrets.
  assert.equal((await core.admin.ask('GET', `/providers/oauth2/${id}/`)).status, 404)
  assert.deepEqual(column(await core.admin.ask('GET', '/providers/all/'), 'pk'), [id])
})
