// Refresh tokens: rotation, reuse, grace, and what is looked at again at every use.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { type Answer, introspect, payloadOf, redeem, token } from './browser.ts'
import { codeAfterConsent, consentFlow } from './consent.ts'
import {
  addClient,
  addUser,
  type ClientOptions,
  startCore,
  type TestClient,
  type TestCore,
  type TestUser,
} from './core-app.ts'

interface Granted {
  core: TestCore
  client: TestClient
  alice: TestUser
  first: Answer
}

async function granted(t: TestContext, options: ClientOptions = {}): Promise<Granted> {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app', { authorizationFlowId: await consentFlow(core), ...options })
  const code = await codeAfterConsent(core, client, alice, { scope: 'openid email offline_access' })
  const first = await redeem(core, client, code)
  assert.equal(String(first.body.refresh_token).length, 128)
  return { core, client, alice, first }
}

function refresh(
  { core, client }: Granted,
  refreshToken: unknown,
  more: Record<string, string> = {},
): Promise<Answer> {
  return token(core, client, { grant_type: 'refresh_token', refresh_token: String(refreshToken), ...more })
}

/** As if the last rotation was a minute ago. */
async function passMinute({ core }: Granted): Promise<void> {
  await core.database.db.count(sql`update oauth_refresh_tokens
    set revoked_at = revoked_at - interval '1 minute', created_at = created_at - interval '1 minute'`)
}

test('a refresh token is replaced at every use', async t => {
  const grant = await granted(t)
  const second = await refresh(grant, grant.first.body.refresh_token)
  assert.equal(second.status, 200)
  assert.notEqual(second.body.refresh_token, grant.first.body.refresh_token)
  assert.equal(payloadOf(second.body.id_token).sub, grant.alice.uid)
  assert.equal(payloadOf(second.body.id_token).auth_time, payloadOf(grant.first.body.id_token).auth_time)
  const third = await refresh(grant, second.body.refresh_token)
  assert.equal(third.status, 200)
})

test('a replaced refresh token used later ends everything of its grant', async t => {
  const grant = await granted(t)
  const second = await refresh(grant, grant.first.body.refresh_token)
  await passMinute(grant)
  assert.equal((await refresh(grant, grant.first.body.refresh_token)).body.error, 'invalid_grant')
  assert.equal((await refresh(grant, second.body.refresh_token)).body.error, 'invalid_grant')
  assert.deepEqual((await introspect(grant.core, grant.client, second.body.access_token)).body, {
    active: false,
  })
  const event = await grant.core.database.db.rows(
    sql`select 1 from events where action = 'suspicious_request'`,
  )
  assert.equal(event.length, 1)
})

test('replicas that refresh at the same moment all get an access token, but one successor only', async t => {
  const grant = await granted(t)
  const answers = await Promise.all([1, 2, 3, 4].map(() => refresh(grant, grant.first.body.refresh_token)))
  assert.deepEqual(
    answers.map(answer => answer.status),
    [200, 200, 200, 200],
  )
  assert.equal(answers.filter(answer => answer.body.refresh_token !== undefined).length, 1)
})

test('only the immediate predecessor has a grace: an older token ends the grant at once', async t => {
  const grant = await granted(t)
  const second = await refresh(grant, grant.first.body.refresh_token)
  const third = await refresh(grant, second.body.refresh_token)
  assert.equal(third.status, 200)
  assert.equal((await refresh(grant, grant.first.body.refresh_token)).body.error, 'invalid_grant')
  assert.equal((await refresh(grant, third.body.refresh_token)).body.error, 'invalid_grant')
})

test('a token far from its end is kept where the provider says so', async t => {
  const grant = await granted(t, { columns: { refresh_token_threshold: 'days=1' } })
  const second = await refresh(grant, grant.first.body.refresh_token)
  assert.equal(second.status, 200)
  assert.equal(second.body.refresh_token, undefined)
  assert.equal((await refresh(grant, grant.first.body.refresh_token)).status, 200)
})

test('a refresh can ask for less, never for more', async t => {
  const grant = await granted(t)
  const more = await refresh(grant, grant.first.body.refresh_token, { scope: 'openid profile' })
  assert.equal(more.body.error, 'invalid_scope')
  const less = await refresh(grant, grant.first.body.refresh_token, { scope: 'openid' })
  assert.equal(less.body.scope, 'openid')
  assert.equal(payloadOf(less.body.access_token).email, undefined)
  const whole = await refresh(grant, less.body.refresh_token)
  assert.equal(whole.body.scope, 'openid email offline_access')
})

test('a scope that is not mapped any more is not granted again', async t => {
  const grant = await granted(t)
  await grant.core.database.db.count(sql`delete from provider_property_mappings
    where mapping_id in (select id from property_mappings where scope_name = 'email')`)
  const answer = await refresh(grant, grant.first.body.refresh_token)
  assert.equal(answer.body.scope, 'openid offline_access')
  assert.equal(payloadOf(answer.body.access_token).email, undefined)
})

test('an inactive user, a lost application and another client refresh nothing', async t => {
  const grant = await granted(t)
  const { core, client, alice } = grant
  const { db } = core.database
  const other = await addClient(core, 'other')
  assert.equal(
    (await refresh({ ...grant, client: other }, grant.first.body.refresh_token)).body.error,
    'invalid_grant',
  )
  const bob = await addUser(core, 'bob')
  await db.count(
    sql`insert into policy_bindings (target_id, user_id) values (${client.applicationId}, ${bob.id})`,
  )
  assert.equal((await refresh(grant, grant.first.body.refresh_token)).body.error, 'invalid_grant')
  await db.count(sql`delete from policy_bindings`)
  await db.count(sql`update users set is_active = false where id = ${alice.id}`)
  assert.equal((await refresh(grant, grant.first.body.refresh_token)).body.error, 'invalid_grant')
  await db.count(sql`update users set is_active = true where id = ${alice.id}`)
  assert.equal(
    (await refresh(grant, grant.first.body.refresh_token)).status,
    200,
    'a refusal does not use the token up',
  )
})

test('an expired refresh token is refused', async t => {
  const grant = await granted(t)
  await grant.core.database.db.count(
    sql`update oauth_refresh_tokens set expires_at = now() - interval '1 second'`,
  )
  assert.equal((await refresh(grant, grant.first.body.refresh_token)).body.error, 'invalid_grant')
})

test('a refresh token survives the end of the browser session, without its sid', async t => {
  const grant = await granted(t)
  await grant.core.database.db.count(sql`delete from sessions where id = ${grant.alice.sessionId}`)
  const answer = await refresh(grant, grant.first.body.refresh_token)
  assert.equal(answer.status, 200)
  assert.equal(payloadOf(answer.body.id_token).sid, undefined)
})
