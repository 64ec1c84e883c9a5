// The end of a session that an application asks for.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { codeFor, introspect, locationOf, redeem } from './browser.ts'
import { challengeAt } from './consent.ts'
import { addClient, addFlow, addUser, startCore, type TestCore, type TestUser } from './core-app.ts'

function endSession(
  core: TestCore,
  slug: string,
  parameters: Record<string, string>,
  user?: TestUser,
  form?: Record<string, string>,
): Promise<Response> {
  return fetch(`${core.base}/application/o/${slug}/end-session/?${new URLSearchParams(parameters)}`, {
    redirect: 'manual',
    method: form === undefined ? 'GET' : 'POST',
    body: form === undefined ? undefined : new URLSearchParams(form),
    headers: user === undefined ? {} : { cookie: user.cookie },
  })
}

async function sessionExists(core: TestCore, user: TestUser): Promise<boolean> {
  return (await core.database.db.rows(sql`select 1 from sessions where id = ${user.sessionId}`)).length === 1
}

test('with an ID token as hint the application’s tokens end and the browser goes back, with state', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app', { key: 'ecdsa' })
  const other = await addClient(core, 'other')
  const { body } = await redeem(core, client, await codeFor(core, client, alice))
  const ofOther = (await redeem(core, other, await codeFor(core, other, alice))).body
  const back = await endSession(
    core,
    'app',
    {
      id_token_hint: String(body.id_token),
      post_logout_redirect_uri: 'https://app.example.com/bye',
      state: 'z z',
    },
    alice,
  )
  assert.equal(locationOf(back).href, 'https://app.example.com/bye?state=z+z')
  assert.deepEqual((await introspect(core, client, body.access_token)).body, { active: false })
  assert.equal((await introspect(core, other, ofOther.access_token)).body.active, true)
  assert.equal(await sessionExists(core, alice), true, 'a flow without stages ends this application only')
})

test('an access token is as good a hint, an expired one too, and leads to a page of ours', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app', {
    proxy: true,
    columns: { access_token_validity: 'seconds=1' },
  })
  const { body } = await redeem(core, client, await codeFor(core, client, alice))
  core.advance(5000)
  const answer = await endSession(core, 'app', { id_token_hint: String(body.access_token) }, alice)
  assert.equal(locationOf(answer).pathname, '/application/o/app/signed-out/')
  const page = await fetch(locationOf(answer), { headers: { cookie: alice.cookie } })
  assert.equal(page.status, 200)
  const text = await page.text()
  assert.match(text, /You are signed out of The app/)
  assert.match(text, /\/flows\/-\/default\/invalidation\//)
  assert.match(text, /https:\/\/proxied\.example\.com\//)
})

test('a flow that signs out ends the whole session', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const invalidationFlowId = await addFlow(core.database, 'sign-out', 'invalidation', [['user_logout', {}]])
  const client = await addClient(core, 'app', { invalidationFlowId })
  const { body } = await redeem(core, client, await codeFor(core, client, alice))
  const page = locationOf(await endSession(core, 'app', { id_token_hint: String(body.id_token) }, alice))
  assert.equal(page.pathname, '/if/flow/sign-out/')
  const end = await challengeAt(core, page, alice)
  assert.equal(end.component, 'xak-flow-redirect')
  assert.match(String(end.to), /\/application\/o\/app\/signed-out\/$/)
  assert.equal(await sessionExists(core, alice), false)
  assert.deepEqual((await introspect(core, client, body.access_token)).body, { active: false })
  const signedOut = await fetch(new URL(String(end.to), core.base), { headers: { cookie: alice.cookie } })
  assert.match(await signedOut.text(), /Nobody is signed in here any more/)
})

test('without a token of this session the user is asked first, and only our own page can answer', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const bob = await addUser(core, 'bob')
  const invalidationFlowId = await addFlow(core.database, 'sign-out', 'invalidation', [['user_logout', {}]])
  const client = await addClient(core, 'app', { invalidationFlowId })
  const ofBob = (await redeem(core, client, await codeFor(core, client, bob))).body
  const cases: Record<string, string>[] = [
    {},
    { id_token_hint: 'garbage' },
    { id_token_hint: String(ofBob.id_token) },
  ]
  for (const parameters of cases) {
    const page = await endSession(core, 'app', parameters, alice)
    assert.equal(page.status, 200)
    assert.match(await page.text(), /Sign out\?/)
  }
  const forged = await endSession(core, 'app', {}, alice, { confirm: 'A'.repeat(43) })
  assert.equal(forged.status, 200)
  const page = await (await endSession(core, 'app', {}, alice)).text()
  const [, confirm = ''] = /name="confirm" value="([^"]+)"/.exec(page) ?? []
  const foreign = await fetch(`${core.base}/application/o/app/end-session/`, {
    method: 'POST',
    body: new URLSearchParams({ confirm }),
    headers: { cookie: alice.cookie, origin: 'https://evil.test' },
    redirect: 'manual',
  })
  assert.equal(foreign.status, 200, 'asked again')
  const ofOther = await endSession(core, 'app', {}, bob, { confirm })
  assert.equal(ofOther.status, 200, 'the confirmation is bound to the session')
  assert.equal(await sessionExists(core, alice), true)
  const confirmed = await endSession(core, 'app', {}, alice, { confirm })
  assert.equal(locationOf(confirmed).pathname, '/if/flow/sign-out/')
})

test('a return address needs a token of ours and must be registered for logout', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const other = await addClient(core, 'other')
  const hint = String((await redeem(core, client, await codeFor(core, client, alice))).body.id_token)
  const ofOther = String((await redeem(core, other, await codeFor(core, other, alice))).body.id_token)
  const bye = 'https://app.example.com/bye'
  const cases: Record<string, string>[] = [
    { post_logout_redirect_uri: bye },
    { post_logout_redirect_uri: bye, id_token_hint: 'garbage' },
    { post_logout_redirect_uri: bye, id_token_hint: ofOther },
    { post_logout_redirect_uri: 'https://evil.test/', id_token_hint: hint },
    { post_logout_redirect_uri: client.redirectUri, id_token_hint: hint },
    { post_logout_redirect_uri: bye, id_token_hint: hint, client_id: other.clientId },
  ]
  for (const parameters of cases) {
    const answer = await endSession(core, 'app', parameters, alice)
    assert.equal(answer.status, 400, JSON.stringify(parameters))
    assert.equal(answer.headers.get('location'), null)
  }
})

test('nobody signed in: done at once; a POST comes back as GET', async t => {
  const core = await startCore(t)
  await addClient(core, 'app')
  const done = await endSession(core, 'app', {})
  assert.equal(locationOf(done).pathname, '/application/o/app/signed-out/')
  const posted = await endSession(core, 'app', {}, undefined, { id_token_hint: 'x' })
  assert.equal(posted.status, 303)
  assert.equal(locationOf(posted).search, '?id_token_hint=x')
  assert.equal((await endSession(core, 'none', {})).status, 404)
})
