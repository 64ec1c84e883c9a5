// How programs sign in: the three forms of client_credentials.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { randomText, sha256 } from '../../src/core/secrets.ts'
import { sql } from '../../src/pg/db.ts'
import { basic, introspect, payloadOf, post } from './browser.ts'
import { addClient, addUser, startCore, type TestCore, type TestUser } from './core-app.ts'

async function appPassword(core: TestCore, user: TestUser, expiresIn = '1 day'): Promise<string> {
  const key = randomText(60)
  await core.database.db.count(sql`
    insert into tokens (identifier, intent, user_id, key_hash, expires_at)
    values (${randomUUID()}, 'app_password', ${user.id}, ${sha256(key)}, now() + ${expiresIn}::interval)`)
  return key
}

test('an outpost turns an app password into a token of its user, without a client secret', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice', { attributes: { department: 'tests' } })
  const client = await addClient(core, 'app', { proxy: true, grants: ['authorization_code'] })
  const password = await appPassword(core, alice)
  const form = {
    grant_type: 'client_credentials',
    client_id: client.clientId,
    username: 'Alice',
    password,
    scope: 'openid profile email ak_proxy',
  }
  const answer = await post(core, '/application/o/token/', form)
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  const claims = payloadOf(answer.body.id_token)
  assert.equal(claims.sub, alice.uid)
  assert.deepEqual(claims.ak_proxy, { user_attributes: { department: 'tests' }, is_superuser: false })
  assert.equal(answer.body.refresh_token, undefined)
  const active = await introspect(core, client, answer.body.access_token)
  assert.equal(active.body.active, true)
  assert.deepEqual(active.body.ak_proxy, claims.ak_proxy)
  for (const wrong of [{ password: randomText(60) }, { username: 'bob' }]) {
    const refused = await post(core, '/application/o/token/', { ...form, ...wrong })
    assert.equal(refused.body.error, 'invalid_grant')
  }
  const login = await core.database.db.first<{ context: object }>(
    sql`select context from events where action = 'login'`,
  )
  assert.match(JSON.stringify(login?.context), /"auth_method":"token"/)
})

test('the password of an account is no app password', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  await core.database.db.count(
    sql`update users set password = ${await core.core.passwords.hash('hunter22')} where id = ${alice.id}`,
  )
  const form = { grant_type: 'password', client_id: client.clientId, username: 'alice', password: 'hunter22' }
  assert.equal((await post(core, '/application/o/token/', form)).body.error, 'invalid_grant')
})

test('expired app passwords, inactive users and users without the application are refused', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const signIn = (password: string) =>
    post(core, '/application/o/token/', {
      grant_type: 'client_credentials',
      client_id: client.clientId,
      username: 'alice',
      password,
    })
  const { db } = core.database
  assert.equal((await signIn(await appPassword(core, alice, '-1 second'))).body.error, 'invalid_grant')
  const good = await appPassword(core, alice)
  await db.count(sql`update users set is_active = false`)
  assert.equal((await signIn(good)).body.error, 'invalid_grant')
  await db.count(sql`update users set is_active = true`)
  const bob = await addUser(core, 'bob')
  await db.count(
    sql`insert into policy_bindings (target_id, user_id) values (${client.applicationId}, ${bob.id})`,
  )
  assert.equal((await signIn(good)).body.error, 'invalid_grant')
})

test('an app password in base64 as client secret does the same', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const secret = Buffer.from(`alice:${await appPassword(core, alice)}`).toString('base64')
  const form = { grant_type: 'client_credentials', scope: 'openid' }
  const answer = await post(core, '/application/o/token/', form, basic(client.clientId, secret))
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  assert.equal(payloadOf(answer.body.access_token).sub, alice.uid)
})

test('the client secret signs in a service account of the application, one and the same', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app')
  const form = { grant_type: 'client_credentials', scope: 'openid profile' }
  const answers = await Promise.all(
    Array.from({ length: 4 }, () =>
      post(core, '/application/o/token/', form, basic(client.clientId, client.clientSecret)),
    ),
  )
  assert.deepEqual(
    answers.map(answer => answer.status),
    [200, 200, 200, 200],
  )
  assert.equal(new Set(answers.map(answer => payloadOf(answer.body.access_token).sub)).size, 1)
  assert.equal(payloadOf(answers[0]?.body.id_token).preferred_username, 'ak-app-client_credentials')
  const { db } = core.database
  const account = await db.first(
    sql`select type, path, password, attributes from users where username = 'ak-app-client_credentials'`,
  )
  assert.deepEqual(account, {
    type: 'service_account',
    path: 'goauthentik.io/apps/app',
    password: null,
    attributes: { 'goauthentik.io/user/generated': true },
  })
  const wrong = await post(
    core,
    '/application/o/token/',
    form,
    basic(client.clientId, `${client.clientSecret}x`),
  )
  assert.equal(wrong.status, 401)
  assert.equal(wrong.body.error, 'invalid_client')
  assert.match(wrong.headers.get('www-authenticate') ?? '', /^Basic /)
})

test('scopes are those asked for that the provider maps, whoever asks', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app', { scopes: ['openid', 'email'] })
  const form = {
    grant_type: 'client_credentials',
    client_id: client.clientId,
    client_secret: client.clientSecret,
  }
  const asked = await post(core, '/application/o/token/', {
    ...form,
    scope: 'openid goauthentik.io/api profile',
  })
  assert.equal(asked.body.scope, 'openid')
  const me = await fetch(`${core.base}/application/o/userinfo/`, {
    headers: { authorization: `Bearer ${asked.body.access_token}` },
  })
  assert.deepEqual(Object.keys((await me.json()) as object), ['sub'])
  const none = await post(core, '/application/o/token/', { ...form, scope: 'profile goauthentik.io/api' })
  assert.equal(none.body.error, 'invalid_scope')
  const silent = await post(core, '/application/o/token/', form)
  assert.equal(silent.body.scope, 'openid email')
})

test('a provider without the grant refuses it, and without proof nobody signs in', async t => {
  const core = await startCore(t)
  const closed = await addClient(core, 'closed', { grants: ['authorization_code'] })
  const open = await addClient(core, 'open', { type: 'public' })
  const refused = await post(core, '/application/o/token/', {
    grant_type: 'client_credentials',
    client_id: closed.clientId,
    client_secret: closed.clientSecret,
  })
  assert.equal(refused.body.error, 'unauthorized_client')
  const proofs: Record<string, string>[] = [{}, { client_secret: open.clientSecret }, { username: 'alice' }]
  for (const more of proofs) {
    const answer = await post(core, '/application/o/token/', {
      grant_type: 'client_credentials',
      client_id: open.clientId,
      ...more,
    })
    assert.ok(answer.status === 401 || answer.status === 400, JSON.stringify(answer.body))
    assert.equal(answer.body.access_token, undefined)
  }
})

test('failures are limited per user name, successes never', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const password = await appPassword(core, alice)
  const signIn = (username: string, secret: string) =>
    post(core, '/application/o/token/', {
      grant_type: 'client_credentials',
      client_id: client.clientId,
      username,
      password: secret,
    })
  for (let i = 0; i < 25; i++) assert.equal((await signIn('alice', password)).status, 200)
  for (let i = 0; i < 20; i++) assert.equal((await signIn('mallory', 'guess')).body.error, 'invalid_grant')
  const limited = await signIn('mallory', 'guess')
  assert.equal(limited.status, 429)
  assert.ok(Number(limited.headers.get('retry-after')) > 0)
  assert.equal((await signIn('alice', password)).status, 200)
  core.advance(61_000)
  assert.equal((await signIn('mallory', 'guess')).body.error, 'invalid_grant')
})
