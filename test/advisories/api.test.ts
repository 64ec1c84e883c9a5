// What went wrong in other products' administration, and does not here. docs/advisories.md lists them all.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { startCore } from '../api/start-core.ts'
import { startWholeCore } from './whole-core.ts'

test('CVE-2024-42490: keys, certificates, applications and who uses an object are told only to who may see the object', async t => {
  const core = await startCore(t)
  const pair = await core.admin.ask('POST', '/crypto/certificatekeypairs/generate/', {
    ...{ common_name: 'a.test', validity_days: 1, alg: 'ecdsa' },
  })
  const { pk } = pair.body as { pk: string }
  const eve = await core.person('eve')
  const viewer = await core.person('viewer', ['authentik_crypto.view_certificatekeypair'])
  for (const action of ['view_private_key/', 'view_certificate/', 'used_by/', '']) {
    const path = `/crypto/certificatekeypairs/${pk}/${action}`
    assert.equal((await core.ask('GET', path)).status, 403, `anonymous ${action}`)
    assert.equal((await eve.ask('GET', path)).status, 404, `without permission ${action}`)
    const secret = action.startsWith('view_')
    assert.equal((await viewer.ask('GET', path)).status, secret ? 403 : 200, `with view ${action}`)
    assert.equal((await core.admin.ask('GET', path)).status, 200, action)
  }
})

test('CVE-2026-49448: who an account is cannot be written, by nobody', async t => {
  const core = await startCore(t)
  const bob = await core.person('bob')
  const identity = () => core.database.db.first(sql`select id, uuid, uid from users where username = 'bob'`)
  const before = await identity()
  const forged = { pk: core.admin.id, uid: core.admin.uid, uuid: '00000000-0000-4000-8000-000000000001' }
  const answer = await core.admin.ask('PATCH', `/core/users/${bob.id}/`, { name: 'Bob', ...forged })
  assert.equal(answer.status, 200)
  assert.deepEqual(await identity(), before)
})

test('CVE-2024-52307: the secret key opens nothing, and metrics are not served where everybody can ask', async t => {
  const test = await startWholeCore(t)
  const secretKey = 'a secret key of a test that is long enough'
  for (const path of ['/metrics', '/-/metrics/', '/metrics/']) {
    const plain = await fetch(test.base + path)
    assert.equal(plain.status, 404, path)
    const basic = `Basic ${Buffer.from(`monitor:${secretKey}`).toString('base64')}`
    assert.equal((await fetch(test.base + path, { headers: { authorization: basic } })).status, 404)
  }
  const headers = { authorization: `Bearer ${secretKey}` }
  assert.equal((await fetch(`${test.base}/api/v3/core/users/me/`, { headers })).status, 403)
})

test('CVE-2026-25227: there is no action that runs an expression, and reading none needs more than reading', async t => {
  const test = await startWholeCore(t)
  assert.ok(test.routes.length > 100)
  const running = test.routes.filter(route => /\/(?:test|preview_expression|evaluate|run)\/$/.test(route.url))
  assert.deepEqual(
    running.map(route => route.url),
    [],
  )
})
