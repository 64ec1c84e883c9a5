// Whatever anybody sends to Core: an answer of the kinds there are, an allowed place to go, and never a failure inside.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { newCsrfValue } from '../../src/core/csrf.ts'
import { newSessionKey } from '../../src/core/sessions/cookie.ts'
import { sql } from '../../src/pg/db.ts'
import { authorizeParameters } from '../oidc/browser.ts'
import { addClient, type TestClient } from '../oidc/core-app.ts'
import { json, runs, send, sound, text } from './hostile.ts'
import { addPerson, startWholeCore, type WholeCore } from './whole-core.ts'

test('whatever is posted to the executor, nobody is signed in by it and nothing fails', async t => {
  const test = await startWholeCore(t)
  const anonymous = newCsrfValue(test.core.secrets, null)
  const components = [
    'identification',
    'password',
    'consent',
    'user-login',
    'prompt',
    'access-denied',
    'user-logout',
  ]
  const bodies = fc.dictionary(
    fc.constantFrom(
      'uid_field',
      'password',
      'token',
      'remember_me',
      'email',
      'password_repeat',
      'pending_user',
      '__proto__',
    ),
    json,
  )
  const posts = fc.record({
    slug: fc.constantFrom(
      'default-authentication-flow',
      'initial-setup',
      'default-invalidation-flow',
      'nothing',
    ),
    component: fc.option(fc.oneof(fc.constantFrom(...components.map(name => `ak-stage-${name}`)), json)),
    body: bodies,
    query: text,
    step: fc.constantFrom('0', '1', '-1', 'x'),
  })
  await fc.assert(
    fc.asyncProperty(posts, async ({ slug, component, body, query, step }) => {
      const sent = { ...body, ...(component === null ? {} : { component }) }
      const response = await send(
        test,
        `/api/v3/flows/executor/${slug}/?query=${encodeURIComponent(query.toWellFormed())}`,
        {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            cookie: `authentik_csrf=${anonymous}`,
            'x-authentik-csrf': anonymous,
            'x-flow-step': step,
          },
          body: JSON.stringify(sent),
        },
      )
      const answer = await sound(test, { slug, sent, query }, response)
      if (response.status === 200) {
        const { component: shown, to } = JSON.parse(answer) as { component: string; to?: string }
        assert.match(shown, /^(?:ak-stage|xak-flow)-/)
        if (to !== undefined) assert.match(to, /^\/(?![/\\])/, answer)
      }
    }),
    { ...runs, numRuns: 120, interruptAfterTimeLimit: 5000 },
  )
  const [row] = await test.core.db.rows<{ count: number }>(
    sql`select count(*)::int as count from sessions where user_id is not null`,
  )
  assert.equal(row?.count, 0)
})

async function client(test: WholeCore): Promise<TestClient> {
  return addClient(test as unknown as Parameters<typeof addClient>[0], 'app')
}

test('whatever an authorization request says, a code goes to the registered address only', async t => {
  const test = await startWholeCore(t)
  const app = await client(test)
  const alice = await addPerson(test, 'alice')
  const names =
    'client_id redirect_uri response_type response_mode scope state nonce prompt max_age code_challenge code_challenge_method request id_token_hint login_hint acr_values postern_asked'
  const changes = fc.dictionary(fc.constantFrom(...names.split(' ')), text, { maxKeys: 4 })
  const asPost = fc.boolean()
  const signedIn = fc.boolean()
  const target = new URL(app.redirectUri)
  await fc.assert(
    fc.asyncProperty(changes, asPost, signedIn, fc.boolean(), async (changed, post, known, twice) => {
      const parameters = authorizeParameters(app, changed)
      if (twice) parameters.append('scope', 'openid')
      const headers = known ? { cookie: alice.cookie } : undefined
      const path = '/application/o/authorize/'
      const response = post
        ? await send(test, path, { method: 'POST', body: parameters, headers })
        : await send(test, `${path}?${parameters}`, { headers })
      await sound(test, changed, response, [target.origin])
      const to = new URL(response.headers.get('location') ?? '/', test.base)
      if (to.origin !== target.origin) assert.equal(to.searchParams.get('code'), null)
      else {
        assert.equal(to.pathname, target.pathname)
        assert.equal(to.searchParams.get('kept'), 'yes')
        if (!known) assert.doesNotMatch(to.href, /[?&#]code=/)
      }
    }),
    runs,
  )
})

test('whatever form comes to token, introspection, revocation and userinfo, nobody gets a token for it', async t => {
  const test = await startWholeCore(t)
  const app = await client(test)
  const names =
    'grant_type client_id client_secret code redirect_uri code_verifier refresh_token username password scope token client_assertion access_token'
  const grants = fc.constantFrom(
    'authorization_code',
    'refresh_token',
    'client_credentials',
    'password',
    '__proto__',
  )
  const forms = fc.dictionary(fc.constantFrom(...names.split(' ')), text, { maxKeys: 6 })
  const endpoint = fc.constantFrom('token', 'introspect', 'revoke', 'userinfo')
  const authorization = fc.option(
    fc.oneof(
      fc.constantFrom('Basic', 'Basic Og==', 'Bearer', 'Bearer x y', 'Negotiate x', 'Basic %%%'),
      text.map(value => `Basic ${Buffer.from(`${app.clientId}:${value}`).toString('base64')}`),
    ),
  )
  await fc.assert(
    fc.asyncProperty(
      endpoint,
      grants,
      forms,
      fc.boolean(),
      authorization,
      async (name, grant, form, named, header) => {
        const body = new URLSearchParams({
          grant_type: grant,
          ...(named ? { client_id: app.clientId } : {}),
          ...form,
        })
        const response = await send(test, `/application/o/${name}/`, {
          method: 'POST',
          body,
          headers: header === null ? {} : { authorization: header },
        })
        const answer = await sound(test, { name, form: [...body], header }, response)
        assert.doesNotMatch(answer, /"(?:access|refresh|id)_token"|"active":true/)
      },
    ),
    runs,
  )
})

test('whatever cookies and credentials a request carries, it is anonymous unless they are genuine', async t => {
  const test = await startWholeCore(t)
  const alice = await addPerson(test, 'alice')
  const genuine = alice.cookie.slice('authentik_session='.length)
  const value = fc.oneof(
    text,
    fc.constantFrom(
      newSessionKey().value,
      genuine.slice(1),
      `${genuine}=`,
      genuine.toLowerCase(),
      `"${genuine}"x`,
    ),
  )
  const path = fc.constantFrom(
    ...[
      '/',
      '/if/user/',
      '/api/v3/core/users/me/',
      '/api/v3/flows/executor/default-authentication-flow/?query=',
    ],
    ...[
      '/flows/-/default/invalidation/',
      '/flows/-/cancel/',
      '/application/launch/x/',
      '/api/v3/core/tokens/',
    ],
  )
  const headers = fc.record({
    session: value,
    csrf: value,
    authorization: fc.option(fc.oneof(fc.constantFrom('Bearer ', 'bearer', `Bearer ${alice.key}x`), value)),
    method: fc.constantFrom('GET', 'POST', 'DELETE'),
  })
  await fc.assert(
    fc.asyncProperty(path, headers, async (url, { session, csrf, authorization, method }) => {
      const safe = (given: string) => given.replaceAll(/[^\x20-\x7e]/g, '?')
      const response = await send(test, url, {
        method,
        headers: {
          cookie: safe(`authentik_session=${session}; authentik_csrf=${csrf}; =; ;;authentik_session`),
          ...(authorization === null ? {} : { authorization: safe(authorization) }),
        },
      })
      const body = await sound(test, { url, session, csrf, authorization, method }, response)
      if (url.startsWith('/api/v3/core/'))
        assert.equal(response.status === 403 || response.status === 404, true, body)
      assert.doesNotMatch(body, /alice/)
    }),
    runs,
  )
})
