// What went wrong in other products' OAuth2 and OpenID Connect endpoints, and does not here. docs/advisories.md lists them all.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { randomText, sha256 } from '../../src/core/secrets.ts'
import { sql } from '../../src/pg/db.ts'
import {
  authorize,
  authorizeParameters,
  codeFor,
  introspect,
  locationOf,
  newPkce,
  post,
  redeem,
  token,
} from '../oidc/browser.ts'
import { codeAfterConsent } from '../oidc/consent.ts'
import { addClient, addUser, startCore, type TestCore, type TestUser } from '../oidc/core-app.ts'

async function appPassword({ database }: TestCore, user: TestUser): Promise<string> {
  const key = randomText(60)
  await database.db.count(sql`insert into tokens (identifier, intent, user_id, key_hash)
    values (${randomUUID()}, 'app_password', ${user.id}, ${sha256(key)})`)
  return key
}

test('CVE-2026-42849: nothing of a request becomes markup of a page', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app')
  const markup = '"><script>alert(1)</script>'
  const page = await authorize(core, authorizeParameters(app, { redirect_uri: markup, state: markup }), alice)
  assert.equal(page.status, 400)
  assert.doesNotMatch(await page.text(), /<script|alert\(1\)/)
  assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'/)
  const query = new URLSearchParams({ state: markup, [markup]: markup })
  const asked = await fetch(`${core.base}/application/o/app/end-session/?${query}`, {
    headers: { cookie: alice.cookie },
  })
  assert.equal(asked.status, 200)
  const text = await asked.text()
  assert.match(text, /Sign out\?/)
  assert.doesNotMatch(text, /<script/)
})

test('CVE-2023-48228, CVE-2024-23647: a challenge demands its verifier, a verifier its challenge, a public client both', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app')
  const { verifier, challenge } = newPkce()
  const pkce = { code_challenge: challenge, code_challenge_method: 'S256' }
  const without = await redeem(core, app, await codeFor(core, app, alice, pkce))
  assert.equal(without.body.error, 'invalid_grant')
  const dropped = await redeem(core, app, await codeFor(core, app, alice), { code_verifier: verifier })
  assert.equal(dropped.body.error, 'invalid_grant', 'the challenge was taken out of the link')
  const proper = await redeem(core, app, await codeFor(core, app, alice, pkce), { code_verifier: verifier })
  assert.equal(proper.status, 200)
  for (const options of [{ type: 'public' as const }, { columns: { require_pkce: true } }]) {
    const client = await addClient(core, `strict-${Object.keys(options)[0]}`, options)
    const refused = locationOf(await authorize(core, authorizeParameters(client), alice))
    assert.equal(refused.searchParams.get('error'), 'invalid_request')
  }
})

test('CVE-2024-52287: no grant gives a scope that the provider does not map', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app', { scopes: ['openid', 'email'] })
  const asked = 'openid email goauthentik.io/api entitlements'
  const program = await token(core, app, { grant_type: 'client_credentials', scope: asked })
  assert.equal(program.body.scope, 'openid email')
  const person = await token(core, app, {
    ...{ grant_type: 'password', username: 'alice', password: await appPassword(core, alice), scope: asked },
  })
  assert.equal(person.body.scope, 'openid email')
  const code = await redeem(core, app, await codeFor(core, app, alice, { scope: asked }))
  assert.equal(code.body.scope, 'openid email')
  const api = await fetch(`${core.base}/application/o/userinfo/`, {
    headers: { authorization: `Bearer ${code.body.access_token}` },
  })
  assert.equal('groups' in ((await api.json()) as object), false)
})

test('CVE-2024-38371: every grant asks the policies of the application, and there is no device grant', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const bob = await addUser(core, 'bob')
  const app = await addClient(core, 'app')
  const scope = 'openid offline_access'
  const first = await redeem(core, app, await codeAfterConsent(core, app, alice, { scope }))
  const password = await appPassword(core, alice)
  const code = await codeFor(core, app, alice)
  await core.database.db.count(
    sql`insert into policy_bindings (target_id, user_id) values (${app.applicationId}, ${bob.id})`,
  )
  assert.equal((await authorize(core, authorizeParameters(app), alice)).status, 403)
  assert.equal((await redeem(core, app, code)).body.error, 'invalid_grant')
  const forms: Record<string, string>[] = [
    { grant_type: 'refresh_token', refresh_token: String(first.body.refresh_token) },
    { grant_type: 'password', username: 'alice', password },
    { grant_type: 'client_credentials', username: 'alice', password },
    { grant_type: 'client_credentials' },
  ]
  for (const form of forms)
    assert.equal((await token(core, app, form)).body.error, 'invalid_grant', form.grant_type)
  const device = await token(core, app, {
    ...{ grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code: 'x' },
  })
  assert.equal(device.body.error, 'unsupported_grant_type')
  const started = await fetch(`${core.base}/application/o/device/`, { method: 'POST' })
  assert.equal(started.status, 404)
})

test('CVE-2024-47077: a client learns nothing about tokens of another, and ends none of them', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const one = await addClient(core, 'one')
  const other = await addClient(core, 'other')
  const { body } = await redeem(core, one, await codeFor(core, one, alice))
  assert.deepEqual((await introspect(core, other, body.access_token)).body, { active: false })
  const credentials = { client_id: other.clientId, client_secret: other.clientSecret }
  await post(core, '/application/o/revoke/', { ...credentials, token: String(body.access_token) })
  assert.equal((await introspect(core, one, body.access_token)).body.active, true)
})

test('CVE-2025-64521, CVE-2025-53942: an account that is not active gets no token, and those it has are dead', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app')
  const { body } = await redeem(core, app, await codeFor(core, app, alice))
  const code = await codeFor(core, app, alice)
  const password = await appPassword(core, alice)
  await core.database.db.count(sql`update users set is_active = false where id = ${alice.id}`)
  assert.equal((await redeem(core, app, code)).body.error, 'invalid_grant')
  const program = await token(core, app, { grant_type: 'client_credentials', username: 'alice', password })
  assert.equal(program.body.error, 'invalid_grant')
  assert.equal((await introspect(core, app, body.access_token)).body.active, false)
  const info = await fetch(`${core.base}/application/o/userinfo/`, {
    headers: { authorization: `Bearer ${body.access_token}` },
  })
  assert.equal(info.status, 401)
  assert.match(locationOf(await authorize(core, authorizeParameters(app), alice)).pathname, /authentication/)
  assert.equal(
    (await core.database.db.rows(sql`select 1 from sessions where user_id = ${alice.id}`)).length,
    1,
  )
})

test('CVE-2025-29928, CVE-2025-52553: with the row of a session everything made from it is over', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app')
  const { body } = await redeem(core, app, await codeFor(core, app, alice))
  const code = await codeFor(core, app, alice)
  await core.database.db.count(sql`delete from sessions where id = ${alice.sessionId}`)
  assert.equal((await redeem(core, app, code)).body.error, 'invalid_grant')
  assert.equal((await introspect(core, app, body.access_token)).body.active, false)
  assert.match(locationOf(await authorize(core, authorizeParameters(app), alice)).pathname, /authentication/)
})

test('CVE-2021-41230: what changed about a user counts at the next refresh and the next question', async t => {
  const core = await startCore(t)
  const { db } = core.database
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app')
  const group = await db.first<{ id: string }>(sql`insert into groups (name) values ('staff') returning id`)
  await db.count(
    sql`insert into group_closure (group_id, ancestor_id) values (${group!.id}, ${group!.id}) on conflict do nothing`,
  )
  await db.count(sql`insert into memberships (user_id, group_id) values (${alice.id}, ${group!.id})`)
  await db.count(
    sql`insert into policy_bindings (target_id, group_id) values (${app.applicationId}, ${group!.id})`,
  )
  const scope = 'openid profile offline_access'
  const { body } = await redeem(core, app, await codeAfterConsent(core, app, alice, { scope }))
  const groups = async () => {
    const headers = { authorization: `Bearer ${body.access_token}` }
    const answer = await fetch(`${core.base}/application/o/userinfo/`, { headers })
    return ((await answer.json()) as { groups: string[] }).groups
  }
  assert.deepEqual(await groups(), ['staff'])
  await db.count(sql`delete from memberships where user_id = ${alice.id}`)
  assert.deepEqual(await groups(), [])
  const refreshed = await token(core, app, {
    ...{ grant_type: 'refresh_token', refresh_token: String(body.refresh_token) },
  })
  assert.equal(refreshed.body.error, 'invalid_grant')
})
