// The authorization endpoint: what is refused where, and what a user is asked.
import assert from 'node:assert/strict'
import { request as rawRequest } from 'node:http'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { authorize, authorizeParameters, codeFor, locationOf, newPkce, payloadOf, redeem } from './browser.ts'
import { answerAt, challengeAt, codeAfterConsent, consentFlow } from './consent.ts'
import { addClient, addFlow, addUser, callback, signIn, startCore } from './core-app.ts'

test('a request is never answered by redirect before client and redirect URI are known to belong together', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const evil = '"><script>alert(1)</script>'
  const cases: [Record<string, string | undefined>, string][] = [
    [{ client_id: undefined }, 'invalid_client'],
    [{ client_id: evil }, 'invalid_client'],
    [{ client_id: 'a\0b' }, 'invalid_request'],
    [{ redirect_uri: undefined }, 'redirect_uri_mismatch'],
    [{ redirect_uri: 'https://app.example.com/callback' }, 'redirect_uri_mismatch'],
    [{ redirect_uri: `${callback}&more=1` }, 'redirect_uri_mismatch'],
    [{ redirect_uri: `${callback}#` }, 'redirect_uri_mismatch'],
    [{ redirect_uri: 'https://app.example.com.evil.test/callback?kept=yes' }, 'redirect_uri_mismatch'],
    [{ redirect_uri: 'https://app.example.com@evil.test/callback?kept=yes' }, 'redirect_uri_mismatch'],
    [{ redirect_uri: 'JavaScript:alert(1)', state: evil }, 'redirect_uri_mismatch'],
  ]
  for (const [changes, code] of cases) {
    const response = await authorize(core, authorizeParameters(client, changes), alice)
    assert.equal(response.status, 400, JSON.stringify(changes))
    assert.equal(response.headers.get('location'), null)
    assert.match(
      response.headers.get('content-security-policy') ?? '',
      /default-src 'none'.*frame-ancestors 'none'/,
    )
    assert.equal(response.headers.get('x-frame-options'), 'DENY')
    const page = await response.text()
    assert.ok(page.includes(code), `${JSON.stringify(changes)}: ${page}`)
    assert.ok(!page.includes('<script'), 'nothing of the request is repeated')
    assert.ok(page.includes(response.headers.get('x-authentik-id') ?? '?'), 'the page names the request')
  }
  const twice = authorizeParameters(client)
  twice.append('redirect_uri', 'https://evil.test/')
  assert.equal((await authorize(core, twice, alice)).status, 400)
})

test('other faults go back to the client with state and issuer, and never with a code', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const { challenge } = newPkce()
  const cases: [Record<string, string | undefined>, string][] = [
    [{ response_type: undefined }, 'invalid_request'],
    [{ response_type: 'token' }, 'unsupported_response_type'],
    [{ response_type: 'code id_token' }, 'unsupported_response_type'],
    [{ response_mode: 'form_post' }, 'unsupported_response_mode'],
    [{ request: 'eyJ' }, 'request_not_supported'],
    [{ request_uri: 'urn:x' }, 'request_uri_not_supported'],
    [{ registration: '{}' }, 'registration_not_supported'],
    [{ scope: 'nothing known' }, 'invalid_scope'],
    [{ code_challenge: challenge }, 'invalid_request'],
    [{ code_challenge: challenge, code_challenge_method: 'plain' }, 'invalid_request'],
    [{ code_challenge: 'short', code_challenge_method: 'S256' }, 'invalid_request'],
    [{ code_challenge_method: 'S256' }, 'invalid_request'],
    [{ prompt: 'none login' }, 'invalid_request'],
    [{ prompt: 'dance' }, 'invalid_request'],
    [{ max_age: '-1' }, 'invalid_request'],
    [{ nonce: 'a\0b' }, 'invalid_request'],
  ]
  for (const [changes, error] of cases) {
    const back = locationOf(await authorize(core, authorizeParameters(client, changes), alice))
    assert.ok(back.href.startsWith(callback), JSON.stringify(changes))
    assert.equal(back.searchParams.get('error'), error, JSON.stringify(changes))
    assert.equal(back.searchParams.get('state'), 'the state')
    assert.equal(back.searchParams.get('iss'), `${core.base}/application/o/app/`)
    assert.equal(back.searchParams.get('code'), null)
  }
  const closed = await addClient(core, 'closed', { grants: ['client_credentials'] })
  const refused = locationOf(await authorize(core, authorizeParameters(closed), alice))
  assert.equal(refused.searchParams.get('error'), 'unauthorized_client')
  const silent = locationOf(await authorize(core, authorizeParameters(client, { state: undefined }), alice))
  assert.equal(silent.searchParams.has('state'), false)
  const fragment = locationOf(
    await authorize(core, authorizeParameters(client, { response_mode: 'fragment' }), alice),
  )
  assert.match(fragment.hash, /^#code=/)
})

test('a client that signs nobody in has no redirect URI until one is registered, and the operator is told once', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app', { redirectUris: [] })
  for (let i = 0; i < 3; i++) assert.equal((await authorize(core, authorizeParameters(client))).status, 400)
  const { db } = core.database
  assert.equal((await db.rows(sql`select 1 from events where action = 'configuration_error'`)).length, 1)
  const stored = await db.first<{ redirect_uris: unknown[] }>(sql`select redirect_uris from oauth2_providers`)
  assert.deepEqual(stored?.redirect_uris, [], 'the first address seen is not adopted')
})

test('nobody signed in: the login page, with the whole request to come back to; with prompt=none an error', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app')
  const login = locationOf(await authorize(core, authorizeParameters(client)))
  assert.equal(login.pathname, '/flows/-/default/authentication/')
  const next = new URL(login.searchParams.get('next') ?? '', core.base)
  assert.equal(next.pathname, '/application/o/authorize/')
  for (const [name, value] of authorizeParameters(client)) assert.equal(next.searchParams.get(name), value)
  const silent = locationOf(await authorize(core, authorizeParameters(client, { prompt: 'none' })))
  assert.equal(silent.searchParams.get('error'), 'login_required')
  const alice = await addUser(core, 'alice')
  assert.ok(await codeFor(core, client, alice, { prompt: 'none' }))
})

test('prompt=login and max_age are satisfied by a login after the request, not by an older one, and not by a forged note', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app')
  const alice = await addUser(core, 'alice')
  for (const changes of [{ prompt: 'login' }, { max_age: '0' }, { prompt: 'select_account' }]) {
    core.advance(1000)
    const login = locationOf(await authorize(core, authorizeParameters(client, changes), alice))
    assert.match(login.pathname, /^\/if\/flow\/default-authentication-flow\//, JSON.stringify(changes))
    const anonymous = locationOf(await authorize(core, authorizeParameters(client, changes)))
    const next = new URL(anonymous.searchParams.get('next') ?? '', core.base)
    const forged = new URLSearchParams(next.search)
    forged.set('postern_asked', `1000000000000.${'A'.repeat(43)}`)
    assert.equal(locationOf(await authorize(core, forged, alice)).searchParams.get('code'), null)
    const early = await authorize(core, next.searchParams, alice)
    assert.equal(locationOf(early).searchParams.get('code'), null, 'the login was before the request')
    core.advance(2000)
    const again = { ...alice, ...(await signIn(core, alice.id)) }
    const code = locationOf(await authorize(core, next.searchParams, again)).searchParams.get('code')
    assert.ok(code, 'the login is newer than the request')
    const tampered = new URLSearchParams(next.search)
    tampered.set('state', 'another')
    assert.equal(locationOf(await authorize(core, tampered, again)).searchParams.get('code'), null)
    core.advance(31 * 60_000)
    const stale = locationOf(await authorize(core, next.searchParams, again))
    assert.equal(stale.searchParams.get('code'), null, 'a note does not live for ever')
  }
  const fresh = { ...alice, ...(await signIn(core, alice.id)) }
  assert.ok(await codeFor(core, client, fresh, { max_age: '100' }))
  core.advance(101_000)
  const silent = locationOf(
    await authorize(core, authorizeParameters(client, { max_age: '100', prompt: 'none' }), fresh),
  )
  assert.equal(silent.searchParams.get('error'), 'login_required')
})

test('consent is asked for by the flow, by prompt=consent and for access without the user', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const asking = await addClient(core, 'asking', {
    authorizationFlowId: await consentFlow(core, 'permanent'),
  })
  const quiet = await addClient(core, 'quiet')
  const silent = locationOf(await authorize(core, authorizeParameters(asking, { prompt: 'none' }), alice))
  assert.equal(silent.searchParams.get('error'), 'consent_required')
  const page = locationOf(await authorize(core, authorizeParameters(asking), alice))
  const challenge = await challengeAt(core, page, alice)
  assert.equal(challenge.component, 'ak-stage-consent')
  assert.equal(challenge.header_text, "You're about to sign into The asking.")
  assert.deepEqual(challenge.permissions, [
    { id: 'email', name: 'Email address' },
    { id: 'profile', name: 'General profile information' },
  ])
  const refused = await answerAt(core, page, alice, { component: challenge.component, token: 'forged' })
  assert.equal(refused.component, 'ak-stage-consent')
  const done = await answerAt(core, page, alice, { component: challenge.component, token: challenge.token })
  assert.equal(done.component, 'xak-flow-redirect')
  const code = new URL(String(done.to)).searchParams.get('code') ?? ''
  assert.equal((await redeem(core, asking, code)).status, 200)
  assert.ok(await codeFor(core, asking, alice), 'what was granted is not asked again')
  for (const changes of [{ prompt: 'consent' }, { scope: 'openid offline_access' }]) {
    const asked = locationOf(await authorize(core, authorizeParameters(quiet, changes), alice))
    assert.match(asked.pathname, /^\/if\/flow\//, JSON.stringify(changes))
  }
  assert.ok(await codeAfterConsent(core, quiet, alice, { prompt: 'consent' }))
})

test('after consent everything is checked again: a provider changed meanwhile is honoured', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app', { authorizationFlowId: await consentFlow(core) })
  const page = locationOf(await authorize(core, authorizeParameters(client), alice))
  const challenge = await challengeAt(core, page, alice)
  const bob = await addUser(core, 'bob')
  await core.database.db.count(
    sql`insert into policy_bindings (target_id, user_id) values (${client.applicationId}, ${bob.id})`,
  )
  const done = await answerAt(core, page, alice, { component: challenge.component, token: challenge.token })
  const back = new URL(String(done.to))
  assert.equal(back.searchParams.get('error'), 'access_denied')
  assert.equal(back.searchParams.get('code'), null)
})

test('a POST comes back as a GET with the same parameters, so that the session cookie is sent', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app')
  const response = await fetch(`${core.base}/application/o/authorize/`, {
    method: 'POST',
    body: authorizeParameters(client),
    redirect: 'manual',
  })
  assert.equal(response.status, 303)
  const location = locationOf(response)
  assert.equal(location.pathname, '/application/o/authorize/')
  assert.equal(location.searchParams.toString(), authorizeParameters(client).toString())
  const long = await fetch(`${core.base}/application/o/authorize/`, {
    method: 'POST',
    body: authorizeParameters(client, { state: 'x'.repeat(9000) }),
    redirect: 'manual',
  })
  assert.equal(long.status, 400)
})

test('under a foreign host name the pages answer 421 and name the setting', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app')
  const url = new URL(core.base)
  const answer = await new Promise<{ status: number; body: string }>((resolve, reject) => {
    const request = rawRequest(
      {
        host: url.hostname,
        port: url.port,
        path: `/application/o/authorize/?${authorizeParameters(client)}`,
        headers: { host: 'evil.test' },
      },
      response => {
        let body = ''
        response.on('data', chunk => {
          body += chunk
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      },
    )
    request.on('error', reject)
    request.end()
  })
  assert.equal(answer.status, 421)
  assert.match(answer.body, /POSTERN_BASE_URL/)
})

test('a path without its slash redirects for GET, and HEAD makes no code', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app')
  const alice = await addUser(core, 'alice')
  const bare = await fetch(`${core.base}/application/o/authorize?a=b`, { redirect: 'manual' })
  assert.equal(bare.status, 308)
  assert.equal(bare.headers.get('location'), '/application/o/authorize/?a=b')
  const head = await fetch(`${core.base}/application/o/authorize/?${authorizeParameters(client)}`, {
    method: 'HEAD',
    headers: { cookie: alice.cookie },
    redirect: 'manual',
  })
  assert.equal(head.status, 404)
  assert.equal((await core.database.db.rows(sql`select 1 from oauth_codes`)).length, 0)
})

test('sub follows the mode of the provider, and never is empty', async t => {
  const core = await startCore(t)
  const flow = await addFlow(core.database, 'quick', 'authorization')
  const alice = await addUser(core, 'alice', { attributes: { upn: 'alice@corp' } })
  const modes: Record<string, string> = {
    hashed_user_id: alice.uid,
    user_id: String(alice.id),
    user_username: 'alice',
    user_email: 'alice@example.com',
    user_upn: 'alice@corp',
  }
  for (const [mode, sub] of Object.entries(modes)) {
    const client = await addClient(core, mode, { authorizationFlowId: flow, columns: { sub_mode: mode } })
    const { body } = await redeem(core, client, await codeFor(core, client, alice))
    assert.equal(payloadOf(body.id_token).sub, sub, mode)
  }
  await core.database.db.count(sql`update users set email = ''`)
  const client = await addClient(core, 'nameless', {
    authorizationFlowId: flow,
    columns: { sub_mode: 'user_email' },
  })
  const { body } = await redeem(core, client, await codeFor(core, client, alice))
  assert.equal(payloadOf(body.id_token).sub, alice.uid)
})
