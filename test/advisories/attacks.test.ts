// Attacks that no advisory describes: somebody with a little power of his own who wants more of it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newCsrfValue } from '../../src/core/csrf.ts'
import { newSessionKey } from '../../src/core/sessions/cookie.ts'
import { sql } from '../../src/pg/db.ts'
import { createBrowser } from '../flows/browser.ts'
import { adminPassword } from '../flows/core-app.ts'
import {
  authorize,
  authorizeParameters,
  codeFor,
  introspect,
  locationOf,
  redeem,
  token,
} from '../oidc/browser.ts'
import { answerAt, challengeAt, consentFlow } from '../oidc/consent.ts'
import { addClient, addUser, startCore } from '../oidc/core-app.ts'
import { connect, refusalOf } from '../outposts/socket.ts'
import {
  addCertificate,
  addOutpost,
  addPerson,
  addProxyProvider,
  startCore as startHub,
} from '../outposts/start-core.ts'
import { startWholeCore } from './whole-core.ts'

test('a scope that a provider begins to map while the user reads the consent page is not granted with it', async t => {
  const core = await startCore(t)
  const { db } = core.database
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app', {
    authorizationFlowId: await consentFlow(core),
    scopes: ['openid', 'email'],
  })
  const parameters = authorizeParameters(app, { scope: 'openid email profile goauthentik.io/api' })
  const page = locationOf(await authorize(core, parameters, alice))
  const asked = await challengeAt(core, page, alice)
  assert.deepEqual(
    (asked.permissions as { id: string }[]).map(permission => permission.id),
    ['email'],
  )
  await db.count(sql`insert into provider_property_mappings (provider_id, mapping_id)
    select ${app.providerId}, id from property_mappings where scope_name in ('profile', 'goauthentik.io/api')`)
  const done = await answerAt(core, page, alice, { component: asked.component, token: asked.token })
  const code = new URL(String(done.to)).searchParams.get('code')
  const answer = await redeem(core, app, code ?? '')
  assert.equal(answer.body.scope, 'openid email')
})

test('who may change a provider cannot act as an administrator who merely opens its link', async t => {
  const core = await startCore(t)
  const boss = await addUser(core, 'boss')
  const app = await addClient(core, 'app', { scopes: ['openid', 'goauthentik.io/api'] })
  const parameters = authorizeParameters(app, { scope: 'openid goauthentik.io/api' })
  const page = locationOf(await authorize(core, parameters, boss))
  assert.equal(page.searchParams.get('code'), null, 'the flow of the provider asks nothing, we do')
  const asked = await challengeAt(core, page, boss)
  assert.equal(asked.component, 'ak-stage-consent')
  assert.match(JSON.stringify(asked.permissions), /on your behalf/)
  const silent = await authorize(
    core,
    authorizeParameters(app, { scope: 'openid goauthentik.io/api', prompt: 'none' }),
    boss,
  )
  assert.equal(locationOf(silent).searchParams.get('error'), 'consent_required')
})

test('who may change an outpost cannot make it tell him secrets of providers he may only view', async t => {
  const core = await startHub(t)
  const pair = { certificate: 'certificate', key: 'key', fingerprint: 'aa' }
  const certificate = await addCertificate(core, 'pair', pair)
  const own = await addProxyProvider(core, 'own')
  const other = await addProxyProvider(core, 'other')
  const keyed = await addProxyProvider(core, 'keyed', { certificate })
  const outpost = await addOutpost(core, 'edge', [own])
  const proxy = 'authentik_providers_proxy'
  const eve = await addPerson(core, 'eve', [
    ...[
      'authentik_outposts.view_outpost',
      'authentik_outposts.change_outpost',
      'authentik_outposts.add_outpost',
    ],
    ...[
      `${proxy}.view_proxyprovider`,
      `${proxy}.change_proxyprovider@${own}`,
      `${proxy}.change_proxyprovider@${keyed}`,
    ],
  ])
  const path = `/outposts/instances/${outpost.id}/`
  const told = async () => {
    const { body } = await core.ask(outpost.key, 'GET', '/outposts/proxy/')
    return (body as { results: { name: string }[] }).results.map(provider => provider.name)
  }
  for (const provider of [other, keyed]) {
    const changed = await core.ask(eve.key, 'PATCH', path, { providers: [own, provider] })
    assert.equal(changed.status, 403, JSON.stringify(changed.body))
    const made = await core.ask(eve.key, 'POST', '/outposts/instances/', {
      ...{ name: 'mine', type: 'proxy', providers: [provider], config: {} },
    })
    assert.equal(made.status, 403, JSON.stringify(made.body))
  }
  assert.deepEqual(await told(), ['own'])
  const { db } = core.core
  await db.count(
    sql`insert into outpost_providers (outpost_id, provider_id) values (${outpost.id}, ${other})`,
  )
  const kept = await core.ask(eve.key, 'PATCH', path, { providers: [own, other], name: 'renamed' })
  assert.equal(kept.status, 200, 'what is there already is not judged again')
})

test('the token of an outpost opens its own outpost and providers, and nothing else of Core', async t => {
  const core = await startHub(t)
  const own = await addProxyProvider(core, 'own')
  const other = await addProxyProvider(core, 'other')
  const mine = await addOutpost(core, 'mine', [own])
  const theirs = await addOutpost(core, 'theirs', [other])
  const names = async (path: string) => {
    const { status, body } = await core.ask(mine.key, 'GET', path)
    assert.equal(status, 200, path)
    return (body as { results: { name: string }[] }).results.map(row => row.name)
  }
  assert.deepEqual(await names('/outposts/proxy/'), ['own'])
  assert.deepEqual(await names('/outposts/instances/'), ['mine'])
  for (const list of ['/core/users/', '/core/groups/', '/rbac/roles/', '/crypto/certificatekeypairs/'])
    assert.deepEqual(await names(list), [], list)
  for (const [method, path, body] of [
    ['GET', `/outposts/instances/${theirs.id}/`, undefined],
    ['PATCH', `/outposts/instances/${mine.id}/`, { providers: [own, other] }],
    ['GET', `/core/tokens/${mine.tokenIdentifier}/view_key/`, undefined],
    ['GET', `/core/tokens/${theirs.tokenIdentifier}/view_key/`, undefined],
    ['DELETE', `/core/tokens/${mine.tokenIdentifier}/`, undefined],
    ['PATCH', `/core/tokens/${mine.tokenIdentifier}/`, { expiring: true }],
    ['POST', '/core/users/', { username: 'eve', name: 'eve' }],
    ['POST', '/events/events/', { action: 'login', app: 'x' }],
  ] as const) {
    const { status } = await core.ask(mine.key, method, path, body)
    assert.ok(status === 403 || status === 404, `${method} ${path} ${status}`)
  }
})

test('who may only look at outposts cannot pose as one, to end sessions or to report them ended', async t => {
  const core = await startHub(t)
  const outpost = await addOutpost(core, 'edge', [await addProxyProvider(core, 'own')])
  const path = `/ws/outpost/${outpost.id}/`
  const view = 'authentik_outposts.view_outpost'
  const viewer = await addPerson(core, 'viewer', [view])
  assert.equal(await refusalOf(core, path, { authorization: `Bearer ${viewer.key}` }), 403)
  const keeper = await addPerson(core, 'keeper', [view, 'authentik_outposts.change_outpost'])
  for (const key of [outpost.key, keeper.key]) await (await connect(t, core, { ...outpost, key })).close()
})

test('a page on a sibling host, which the browser counts as the same site, can neither write nor sign out', async t => {
  const test = await startWholeCore(t)
  const browser = createBrowser(test.base)
  await browser.signIn('akadmin', adminPassword)
  const me = async () => (await browser.get('/api/v3/core/users/me/')).status
  assert.equal(await me(), 200)
  const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  const csrf = browser.cookies.get('authentik_csrf') ?? ''
  const sibling = { cookie, origin: 'https://app.example.com', 'sec-fetch-site': 'same-site' }
  const send = (method: string, path: string, headers: Record<string, string>, body?: string) =>
    fetch(test.base + path, { method, headers, body, redirect: 'manual' })
  const json = { 'content-type': 'application/json' }
  const write = '/api/v3/core/groups/'
  assert.equal((await send('POST', write, { ...sibling, ...json }, '{"name":"x"}')).status, 403)
  const known = { ...sibling, ...json, 'x-authentik-csrf': csrf }
  assert.equal((await send('POST', write, known, '{"name":"x"}')).status, 403, 'even with the right header')
  const bare = { cookie, 'sec-fetch-site': 'same-site', 'x-authentik-csrf': csrf, ...json }
  assert.equal((await send('POST', write, bare, '{"name":"x"}')).status, 403, 'without Origin as well')
  for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {
    const form = await send('POST', write, { ...sibling, 'content-type': type }, 'name=x')
    assert.ok(form.status === 403 || form.status === 415, `${form.status}`)
  }
  const executor = '/api/v3/flows/executor/default-invalidation-flow/?query='
  assert.equal((await send('GET', executor, sibling)).status, 403)
  assert.equal((await send('POST', executor, { ...known }, '{}')).status, 403)
  const preflight = await send('OPTIONS', write, {
    ...{ origin: 'https://app.example.com', 'access-control-request-method': 'POST' },
  })
  assert.equal(preflight.headers.get('access-control-allow-origin'), null)
  assert.equal(await me(), 200)
})

test('cookies planted by a sibling host fix neither the session nor the token of the page', async t => {
  const test = await startWholeCore(t)
  const planted = newSessionKey().value
  const browser = createBrowser(test.base, new Map([['authentik_session', planted]]))
  await browser.open('default-authentication-flow')
  const mine = newCsrfValue(test.core.secrets, null)
  const forged = await browser.answer(
    ...([
      'default-authentication-flow',
      { component: 'ak-stage-identification', uid_field: 'akadmin' },
      '',
    ] as const),
    { 'x-authentik-csrf': mine, cookie: `authentik_session=${planted}; authentik_csrf=${mine}` },
  )
  assert.equal(forged.status, 403, 'a token made for no session is none for this one')
  const done = await browser.signIn('akadmin', adminPassword)
  assert.equal(done.component, 'xak-flow-redirect')
  assert.notEqual(browser.cookies.get('authentik_session'), planted)
  const thief = createBrowser(test.base, new Map([['authentik_session', planted]]))
  assert.equal((await thief.get('/api/v3/core/users/me/')).status, 403)
})

test('a credential of one kind is none of another', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app')
  const { body } = await redeem(core, app, await codeFor(core, app, alice))
  const cookie = alice.cookie.split('=')[1] ?? ''
  for (const credential of [body.id_token, cookie, app.clientSecret, alice.uid, alice.sessionId]) {
    assert.equal((await introspect(core, app, credential)).body.active, false)
    const headers = { authorization: `Bearer ${credential}` }
    assert.equal((await fetch(`${core.base}/application/o/userinfo/`, { headers })).status, 401)
    const form = { grant_type: 'refresh_token', refresh_token: String(credential) }
    assert.equal((await token(core, app, form)).body.error, 'invalid_grant')
    const asCode = {
      grant_type: 'authorization_code',
      code: String(credential),
      redirect_uri: app.redirectUri,
    }
    assert.equal((await token(core, app, asCode)).body.error, 'invalid_grant')
  }
  const asCookie = { cookie: `authentik_session=${body.access_token}` }
  const response = await fetch(`${core.base}/application/o/authorize/?${authorizeParameters(app)}`, {
    ...{ headers: asCookie, redirect: 'manual' },
  })
  assert.match(response.headers.get('location') ?? '', /authentication/)
})
