// The authorization code grant, end to end over HTTP.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sidOf } from '../../src/core/sessions/cookie.ts'
import { sql } from '../../src/pg/db.ts'
import {
  authorize,
  authorizeParameters,
  codeFor,
  introspect,
  locationOf,
  newPkce,
  payloadOf,
  redeem,
} from './browser.ts'
import { codeAfterConsent, consentFlow } from './consent.ts'
import { addClient, addUser, callback, startCore, type TestCore } from './core-app.ts'

test('a code becomes tokens that name user, session, client and scopes', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app', { key: 'ecdsa' })
  const pkce = newPkce()
  const response = await authorize(
    core,
    authorizeParameters(client, {
      nonce: 'n1',
      code_challenge: pkce.challenge,
      code_challenge_method: 'S256',
    }),
    alice,
  )
  assert.equal(response.status, 302)
  assert.equal(response.headers.get('cache-control'), 'no-store')
  assert.equal(response.headers.get('referrer-policy'), 'no-referrer')
  const back = locationOf(response)
  assert.ok(back.href.startsWith(`${callback}&code=`), 'the query of the redirect URI is kept')
  assert.equal(back.searchParams.get('state'), 'the state')
  assert.equal(back.searchParams.get('iss'), `${core.base}/application/o/app/`)
  const answer = await redeem(core, client, back.searchParams.get('code') ?? '', {
    code_verifier: pkce.verifier,
  })
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  assert.equal(answer.headers.get('cache-control'), 'no-store')
  assert.equal(answer.body.token_type, 'Bearer')
  assert.equal(answer.body.expires_in, 3600)
  assert.equal(answer.body.scope, 'openid email profile')
  assert.equal(answer.body.refresh_token, undefined)
  const id = payloadOf(answer.body.id_token)
  assert.equal(id.iss, `${core.base}/application/o/app/`)
  assert.equal(id.sub, alice.uid)
  assert.equal(id.aud, client.clientId)
  assert.equal(id.nonce, 'n1')
  assert.equal(id.sid, sidOf(alice.sessionId))
  assert.deepEqual(id.amr, ['pwd'])
  assert.equal(id.email, 'alice@example.com')
  assert.equal(id.email_verified, false)
  assert.equal(id.preferred_username, 'alice')
  const access = payloadOf(answer.body.access_token)
  assert.equal(access.azp, client.clientId)
  assert.equal(access.scope, 'openid email profile')
  assert.equal(access.sid, id.sid)
  assert.equal(access.exp, id.exp)
  const active = await introspect(core, client, answer.body.access_token)
  assert.equal(active.body.active, true)
  assert.equal(active.body.client_id, client.clientId)
})

test('a single sign-on login with implicit consent takes at most twelve statements', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app', { proxy: true })
  await redeem(core, client, await codeFor(core, client, alice))
  const statements = await core.database.countStatements(async () => {
    const code = await codeFor(core, client, alice, { scope: 'openid email profile ak_proxy' })
    assert.equal((await redeem(core, client, code)).status, 200)
  })
  assert.ok(
    statements.length > 0 && statements.length <= 12,
    `${statements.length}:\n${statements.join('\n')}`,
  )
})

test('a code used twice is refused the second time, and what it gave is ended', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const code = await codeFor(core, client, alice)
  const first = await redeem(core, client, code)
  assert.equal((await introspect(core, client, first.body.access_token)).body.active, true)
  const second = await redeem(core, client, code)
  assert.equal(second.status, 400)
  assert.equal(second.body.error, 'invalid_grant')
  assert.equal((await introspect(core, client, first.body.access_token)).body.active, false)
  assert.equal((await redeem(core, client, code)).body.error, 'invalid_grant')
  assert.equal(await events(core, 'suspicious_request'), 1, 'a flood of replays writes one event')
})

test('of many parallel redemptions of a code at most one succeeds', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const code = await codeFor(core, client, alice)
  const answers = await Promise.all(Array.from({ length: 8 }, () => redeem(core, client, code)))
  assert.equal(answers.filter(answer => answer.status === 200).length, 1)
})

test('a stored challenge demands its verifier, and a verifier demands a challenge', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const pkce = newPkce()
  const challenged = { code_challenge: pkce.challenge, code_challenge_method: 'S256' }
  const withChallenge = () => codeFor(core, client, alice, challenged)
  assert.equal((await redeem(core, client, await withChallenge())).body.error, 'invalid_grant')
  const wrong = await redeem(core, client, await withChallenge(), { code_verifier: newPkce().verifier })
  assert.equal(wrong.body.error, 'invalid_grant')
  const right = await redeem(core, client, await withChallenge(), { code_verifier: pkce.verifier })
  assert.equal(right.status, 200)
  const downgraded = await redeem(core, client, await codeFor(core, client, alice), {
    code_verifier: pkce.verifier,
  })
  assert.equal(downgraded.body.error, 'invalid_grant')
})

test('public clients must use PKCE, and confidential ones when the provider says so', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const open = await addClient(core, 'open', { type: 'public' })
  const strict = await addClient(core, 'strict', { columns: { require_pkce: true } })
  for (const client of [open, strict]) {
    const refused = locationOf(await authorize(core, authorizeParameters(client), alice))
    assert.equal(refused.searchParams.get('error'), 'invalid_request')
    assert.equal(refused.searchParams.get('code'), null)
  }
  const pkce = newPkce()
  const code = await codeFor(core, open, alice, {
    code_challenge: pkce.challenge,
    code_challenge_method: 'S256',
  })
  const answer = await redeem(core, { ...open, clientSecret: 'ignored' }, code, {
    code_verifier: pkce.verifier,
  })
  assert.equal(answer.status, 200)
})

test('a code is good for its own client and redirect URI only, and not after its time', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const other = await addClient(core, 'other')
  const code = await codeFor(core, client, alice)
  assert.equal((await redeem(core, other, code)).body.error, 'invalid_grant')
  assert.equal(
    (await redeem(core, client, code)).status,
    200,
    'the attempt of another client does not use the code up',
  )
  const elsewhere = await redeem(core, client, await codeFor(core, client, alice), {
    redirect_uri: 'https://app.example.com/',
  })
  assert.equal(elsewhere.body.error, 'invalid_grant')
  const late = await codeFor(core, client, alice)
  await core.database.db.count(sql`update oauth_codes set expires_at = now() - interval '1 second'`)
  assert.equal((await redeem(core, client, late)).body.error, 'invalid_grant')
})

test('a user who was deactivated or lost the application gets no token for a code', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app')
  const alice = await addUser(core, 'alice')
  const bob = await addUser(core, 'bob')
  const ofAlice = await codeFor(core, client, alice)
  const ofBob = await codeFor(core, client, bob)
  const { db } = core.database
  await db.count(sql`update users set is_active = false where id = ${alice.id}`)
  assert.equal((await redeem(core, client, ofAlice)).body.error, 'invalid_grant')
  await db.count(
    sql`insert into policy_bindings (target_id, user_id) values (${client.applicationId}, ${alice.id})`,
  )
  assert.equal((await redeem(core, client, ofBob)).body.error, 'invalid_grant')
  const page = await authorize(core, authorizeParameters(client), bob)
  assert.equal(page.status, 403)
  assert.match(await page.text(), /You may not open The app/)
})

test('a deactivated user is not active to introspection, and the end of a session ends its access tokens', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app')
  const alice = await addUser(core, 'alice')
  const bob = await addUser(core, 'bob')
  const { db } = core.database
  const ofAlice = (await redeem(core, client, await codeFor(core, client, alice))).body.access_token
  const ofBob = (await redeem(core, client, await codeFor(core, client, bob))).body.access_token
  await db.count(sql`update users set is_active = false where id = ${alice.id}`)
  await db.count(sql`delete from sessions where id = ${bob.sessionId}`)
  assert.deepEqual((await introspect(core, client, ofAlice)).body, { active: false })
  assert.deepEqual((await introspect(core, client, ofBob)).body, { active: false })
})

test('a dump of the tables holds no usable code, token or secret', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app', { authorizationFlowId: await consentFlow(core) })
  const scope = 'openid offline_access'
  const code = await codeAfterConsent(core, client, alice, { scope })
  const { body } = await redeem(core, client, code)
  const unused = await codeAfterConsent(core, client, alice, { scope })
  const secrets = [code, unused, body.access_token, body.refresh_token, body.id_token, client.clientSecret]
  const { db } = core.database
  const tables = await db.rows<{ name: string }>(sql`
    select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`)
  let rows = 0
  for (const { name } of tables)
    for (const { row } of await db.rows<{ row: string }>(
      sql`select t::text as row from ${sql.table(name)} t`,
    )) {
      rows++
      for (const secret of secrets) {
        assert.equal(typeof secret, 'string')
        assert.ok(!row.includes(String(secret)), `${name} holds a secret`)
        assert.ok(
          !row.includes(Buffer.from(String(secret)).toString('hex')),
          `${name} holds a secret as bytes`,
        )
      }
    }
  assert.ok(rows > 10)
})

async function events(core: TestCore, action: string): Promise<number> {
  const row = await core.database.db.first<{ n: number }>(
    sql`select count(*)::int as n from events where action = ${action}`,
  )
  return row?.n ?? -1
}
