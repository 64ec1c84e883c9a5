// What went wrong in other products' OAuth2 and OpenID Connect endpoints, and does not here. docs/advisories.md lists them all.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { parseRedirectUri } from '../../src/core/oidc/redirect-uri.ts'
import { launchUrl } from '../../src/core/policies/launch-url.ts'
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
import {
  addClient,
  addUser,
  startCore,
  type TestClient,
  type TestCore,
  type TestUser,
} from '../oidc/core-app.ts'

/** Asserts that the request is answered by a page of ours which sends nothing anywhere. */
async function refusedHere(core: TestCore, client: TestClient, user: TestUser, uri: string): Promise<void> {
  const response = await authorize(core, authorizeParameters(client, { redirect_uri: uri }), user)
  assert.equal(response.status, 400, uri)
  assert.equal(response.headers.get('location'), null, uri)
  assert.doesNotMatch(await response.text(), /[?&]code=/)
}

const strict = (url: string) =>
  ({ matching_mode: 'strict', url, redirect_uri_type: 'authorization' }) as const
const pattern = (url: string) => ({ ...strict(url), matching_mode: 'regex' }) as const

async function appPassword({ database }: TestCore, user: TestUser): Promise<string> {
  const key = randomText(60)
  await database.db.count(sql`insert into tokens (identifier, intent, user_id, key_hash)
    values (${randomUUID()}, 'app_password', ${user.id}, ${sha256(key)})`)
  return key
}

test('CVE-2024-52289: a redirect URI is text unless it is said to be a pattern, a pattern matches all of it, and none is learned', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app')
  await refusedHere(core, app, alice, 'https://appXexample.com/callback?kept=yes')
  await refusedHere(core, app, alice, 'https://app.example.com/callback?kept=yes&more')
  const wide = await addClient(core, 'wide', { redirectUris: [pattern('https://app\\.example\\.com/cb')] })
  await refusedHere(core, wide, alice, 'https://app.example.com/cb/../../evil')
  await refusedHere(core, wide, alice, 'https://evil.example/?https://app.example.com/cb')
  const empty = await addClient(core, 'empty', { redirectUris: [] })
  await refusedHere(core, empty, alice, 'https://first.example.com/')
  const row = await core.database.db.first(
    sql`select redirect_uris from oauth2_providers where client_id = ${empty.clientId}`,
  )
  assert.deepEqual(row, { redirect_uris: [] })
})

test('CVE-2024-21637, CVE-2026-9086: an address that runs code is refused in every spelling, even when it is registered', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const running = [
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    'blob:x',
    'java\tscript:x',
  ]
  const app = await addClient(core, 'app', { redirectUris: [...running.map(strict), pattern('.*')] })
  for (const uri of running) {
    await refusedHere(core, app, alice, uri)
    assert.equal(parseRedirectUri(uri), undefined)
    assert.equal(
      launchUrl({ meta_launch_url: uri, external_host: null, first_redirect_uri: null }, null),
      null,
    )
  }
  const good = await addClient(core, 'good')
  const asked = await authorize(core, authorizeParameters(good, { response_mode: 'form_post' }), alice)
  assert.equal(locationOf(asked).searchParams.get('error'), 'unsupported_response_mode')
})

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

test('CVE-2026-41569, GHSA-4mf2-f3wh-gvf2: no address that begins like a registered one is taken for it, at login or logout', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app', {
    redirectUris: [
      strict('https://app.example.com'),
      { ...strict('https://app.example.com/bye'), redirect_uri_type: 'logout' },
    ],
  })
  for (const uri of [
    ...[
      'https://app.example.com.evil',
      'https://app.example.com@evil.example',
      'https://app.example.com:1@evil.example',
    ],
    ...[
      'https://app.example.comevil',
      'https://app.example.com%2eevil',
      'https://app.example.com\\.evil',
      'https://APP.example.com',
    ],
    ...[
      'https://app.example.com:8443',
      'http://app.example.com',
      '//app.example.com',
      'https://app.example.com/bye',
    ],
  ])
    await refusedHere(core, app, alice, uri)
  const registered = { redirect_uri: 'https://app.example.com' }
  const code = await codeFor(core, app, alice, registered)
  const { body } = await redeem(core, app, code, registered)
  for (const uri of [
    'https://app.example.com/bye.evil',
    'https://app.example.com/bye/../x',
    'https://app.example.com',
  ]) {
    const query = new URLSearchParams({
      ...{ id_token_hint: String(body.id_token), post_logout_redirect_uri: uri },
    })
    const answer = await fetch(`${core.base}/application/o/app/end-session/?${query}`, {
      ...{ headers: { cookie: alice.cookie }, redirect: 'manual' },
    })
    assert.equal(answer.status, 400, uri)
  }
})

test('CVE-2024-8883, CVE-2026-3872, CVE-2026-7504, CVE-2026-18209: a pattern lets no trick through that two parsers read differently', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app', {
    redirectUris: [pattern('https://app\\.example\\.com/.*'), pattern('http://127\\.0\\.0\\.1/.*')],
  })
  const parameters = authorizeParameters(app, { redirect_uri: 'https://app.example.com/any' })
  assert.ok(locationOf(await authorize(core, parameters, alice)).searchParams.get('code'))
  for (const uri of [
    ...[
      'https://app.example.com/a/../../b',
      'https://app.example.com/./x',
      'https://app.example.com\\@evil.example/',
    ],
    ...['https://app.example.com/%2e%2e/x', 'https://user@app.example.com/', 'https://app.example.com:443/x'],
    ...[
      'https://@app.example.com/x',
      'https://a@@app.example.com/x',
      'https:app.example.com/x',
      'https:///app.example.com/x',
    ],
    ...[
      'https://app.example.com/x#code=1',
      'https://app.example.com/x?code=planted',
      'https://app.example.com/x?state=planted',
    ],
    ...[
      'https://app.example.com/x?iss=planted',
      'http://127.0.0.1@evil.example/',
      'http://localhost/',
      'http://127.1/',
    ],
  ])
    await refusedHere(core, app, alice, uri)
  const exact = await addClient(core, 'exact', {
    redirectUris: [strict('http://localhost/cb'), strict('https://host*/cb')],
  })
  for (const uri of [
    'http://localhost:8080/cb',
    'http://localhost.evil.example/cb',
    'https://hostile.example/cb',
    'http://127.0.0.1/cb',
    'http://localhost/x/..;/cb',
  ])
    await refusedHere(core, exact, alice, uri)
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
