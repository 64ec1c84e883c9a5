// What programs call besides the grants: introspection, revocation, userinfo, and how clients prove who they are.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { basic, codeFor, introspect, payloadOf, post, redeem, token } from './browser.ts'
import { addClient, addUser, startCore } from './core-app.ts'

test('introspection answers its own client and federated ones, and is one statement', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app', { proxy: true })
  const other = await addClient(core, 'other')
  const { body } = await redeem(
    core,
    client,
    await codeFor(core, client, alice, { scope: 'openid email ak_proxy' }),
  )
  const statements = await core.database.countStatements(async () => {
    const answer = await introspect(core, client, body.access_token)
    assert.equal(answer.body.active, true)
    assert.equal(answer.body.scope, 'openid email ak_proxy')
    assert.equal(answer.body.token_type, 'Bearer')
    assert.equal(answer.body.exp, payloadOf(body.access_token).exp)
    assert.equal(answer.body.sub, alice.uid)
    assert.equal(answer.body.email, 'alice@example.com')
    assert.deepEqual(answer.body.ak_proxy, { user_attributes: {}, is_superuser: false })
  })
  assert.equal(statements.length, 1)
  assert.deepEqual((await introspect(core, other, body.access_token)).body, { active: false })
  const { db } = core.database
  await db.count(
    sql`insert into jwt_federation_providers (provider_id, federated_id) values (${other.providerId}, ${client.providerId})`,
  )
  assert.deepEqual(
    (await introspect(core, other, body.access_token)).body,
    { active: false },
    'the token’s own provider decides',
  )
  await db.count(
    sql`insert into jwt_federation_providers (provider_id, federated_id) values (${client.providerId}, ${other.providerId})`,
  )
  const federated = await introspect(core, other, body.access_token)
  assert.equal(federated.body.client_id, client.clientId)
  assert.deepEqual((await introspect(core, client, 'garbage')).body, { active: false })
})

test('introspection refuses public clients, wrong secrets and missing credentials', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app')
  const open = await addClient(core, 'open', { type: 'public' })
  const path = '/application/o/introspect/'
  const forms: [Record<string, string>, number, string][] = [
    [{ client_id: client.clientId, token: 'x' }, 401, 'invalid_client'],
    [{ client_id: client.clientId, client_secret: 'wrong', token: 'x' }, 401, 'invalid_client'],
    [{ client_id: open.clientId, client_secret: open.clientSecret, token: 'x' }, 401, 'invalid_client'],
    [{ client_id: 'nobody', client_secret: 'x', token: 'x' }, 401, 'invalid_client'],
    [{ token: 'x' }, 401, 'invalid_client'],
    [{ client_id: client.clientId, client_secret: client.clientSecret }, 400, 'invalid_request'],
  ]
  for (const [form, status, error] of forms) {
    const answer = await post(core, path, form)
    assert.equal(answer.status, status, JSON.stringify(form))
    assert.equal(answer.body.error, error)
    assert.equal(typeof answer.body.request_id, 'string')
  }
})

test('client credentials come in one way only', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app')
  const header = basic(client.clientId, client.clientSecret)
  const both = await post(
    core,
    '/application/o/introspect/',
    { client_secret: client.clientSecret, token: 'x' },
    header,
  )
  assert.equal(both.body.error, 'invalid_request')
  const contradiction = await post(
    core,
    '/application/o/introspect/',
    { client_id: 'other', token: 'x' },
    header,
  )
  assert.equal(contradiction.body.error, 'invalid_request')
  const same = await post(
    core,
    '/application/o/introspect/',
    { client_id: client.clientId, token: 'x' },
    header,
  )
  assert.deepEqual(same.body, { active: false })
  const json = await fetch(`${core.base}/application/o/token/`, {
    method: 'POST',
    body: '{"grant_type":"client_credentials"}',
    headers: { 'content-type': 'application/json' },
  })
  assert.equal(json.status, 400)
  assert.equal(((await json.json()) as Record<string, unknown>).error, 'invalid_request')
})

test('revocation ends a client’s own token, tells nothing about others, and takes a refresh token’s family along', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const other = await addClient(core, 'other')
  const { body } = await redeem(core, client, await codeFor(core, client, alice))
  const revoke = (by: typeof client, value: unknown) =>
    post(core, '/application/o/revoke/', { token: String(value) }, basic(by.clientId, by.clientSecret))
  assert.equal((await revoke(other, body.access_token)).status, 200)
  assert.equal((await introspect(core, client, body.access_token)).body.active, true)
  assert.equal((await revoke(client, 'unknown')).status, 200)
  assert.equal((await revoke(client, body.access_token)).status, 200)
  assert.equal((await introspect(core, client, body.access_token)).body.active, false)
  const wrong = await post(core, '/application/o/revoke/', { token: 'x' }, basic(client.clientId, 'wrong'))
  assert.equal(wrong.status, 401)
})

test('userinfo gives the claims of the granted scopes as they are now, to a live token only', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app', { columns: { include_claims_in_id_token: false } })
  const { body } = await redeem(core, client, await codeFor(core, client, alice, { scope: 'openid email' }))
  assert.equal(payloadOf(body.id_token).email, undefined)
  const { db } = core.database
  await db.count(sql`update users set email = 'new@example.com'`)
  const userinfo = (headers: Record<string, string>, method = 'GET', form?: URLSearchParams) =>
    fetch(`${core.base}/application/o/userinfo/`, { method, headers, body: form })
  const bearer = { authorization: `Bearer ${body.access_token}` }
  const claims = { sub: alice.uid, email: 'new@example.com', email_verified: false }
  assert.deepEqual(await (await userinfo(bearer)).json(), claims)
  const posted = await userinfo({}, 'POST', new URLSearchParams({ access_token: String(body.access_token) }))
  assert.deepEqual(await posted.json(), claims)
  const withoutOpenid = await redeem(core, client, await codeFor(core, client, alice, { scope: 'email' }))
  assert.equal(withoutOpenid.body.id_token, undefined)
  const narrow = await userinfo({ authorization: `Bearer ${withoutOpenid.body.access_token}` })
  assert.equal(narrow.status, 403)
  assert.match(narrow.headers.get('www-authenticate') ?? '', /insufficient_scope/)
  const nothing = await userinfo({})
  assert.equal(nothing.status, 401)
  assert.equal(nothing.headers.get('www-authenticate'), 'Bearer')
  await db.count(sql`update users set is_active = false`)
  const ended = await userinfo(bearer)
  assert.equal(ended.status, 401)
  assert.match(ended.headers.get('www-authenticate') ?? '', /error="invalid_token"/)
  const idToken = await userinfo({ authorization: `Bearer ${body.id_token}` })
  assert.equal(idToken.status, 401, 'an ID token is no access token')
})

test('the in-process link exchanges codes and asks about tokens without a socket', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app', { proxy: true })
  const inject = async (url: string, form: Record<string, string>) => {
    const answer = await core.app.inject({
      method: 'POST',
      url,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({
        client_id: client.clientId,
        client_secret: client.clientSecret,
        ...form,
      }).toString(),
    })
    return JSON.parse(answer.body) as Record<string, unknown>
  }
  const answer = await inject('/application/o/token/', {
    grant_type: 'authorization_code',
    code: await codeFor(core, client, alice),
    redirect_uri: client.redirectUri,
  })
  assert.equal(payloadOf(answer.access_token).iss, `${core.base}/application/o/app/`)
  const active = await inject('/application/o/introspect/', { token: String(answer.access_token) })
  assert.equal(active.active, true)
})

test('the token endpoint reads no cookie and says what it does not support', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const cookieOnly = await post(
    core,
    '/application/o/token/',
    { client_id: client.clientId },
    { cookie: alice.cookie },
  )
  assert.equal(cookieOnly.body.error, 'invalid_request')
  assert.equal((await token(core, client, { grant_type: 'magic' })).body.error, 'unsupported_grant_type')
  assert.equal(
    (await token(core, client, { grant_type: 'constructor' })).body.error,
    'unsupported_grant_type',
  )
  assert.equal(
    (await token(core, client, { grant_type: 'authorization_code' })).body.error,
    'invalid_request',
  )
  const noSecret = await post(core, '/application/o/token/', {
    client_id: client.clientId,
    grant_type: 'authorization_code',
    code: 'x',
    redirect_uri: client.redirectUri,
  })
  assert.equal(noSecret.status, 401)
  assert.equal(noSecret.body.error, 'invalid_client')
})
