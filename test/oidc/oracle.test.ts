// The same wrong requests to us and to oidc-provider, which is certified: where the answers differ, it is on purpose and listed.
import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { authorizeParameters, basic, newPkce } from './browser.ts'
import { addClient, startCore, type TestClient, type TestCore } from './core-app.ts'

// The package has no types; this is what the test needs of it.
const { default: Provider } = createRequire(import.meta.url)('oidc-provider') as {
  default: new (issuer: string, configuration: object) => { callback(): RequestListener }
}

interface Party {
  authorize: string
  token: string
  introspection: string
  revocation: string
}

/** oidc-provider with the same client. */
async function startOracle(t: TestContext, client: TestClient): Promise<Party> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider = new Provider(base, {
    clients: [
      {
        client_id: client.clientId,
        client_secret: client.clientSecret,
        redirect_uris: [client.redirectUri],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: 'client_secret_post',
      },
    ],
    features: {
      introspection: { enabled: true },
      revocation: { enabled: true },
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
    },
    pkce: { required: () => false },
    cookies: { keys: ['a key of a test'] },
  })
  server.on('request', provider.callback())
  t.after(async () => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  })
  return {
    authorize: `${base}/auth`,
    token: `${base}/token`,
    introspection: `${base}/token/introspection`,
    revocation: `${base}/token/revocation`,
  }
}

async function startBoth(
  t: TestContext,
): Promise<{ client: TestClient; oracle: Party; ours: Party; core: TestCore }> {
  const core = await startCore(t)
  const client = await addClient(core, 'app', { grants: ['authorization_code', 'refresh_token'] })
  const path = `${core.base}/application/o`
  const ours = {
    authorize: `${path}/authorize/`,
    token: `${path}/token/`,
    introspection: `${path}/introspect/`,
    revocation: `${path}/revoke/`,
  }
  return { core, client, ours, oracle: await startOracle(t, client) }
}

/** `page <status>`, or the error that goes to the client. */
async function authorizeOutcome(party: Party, parameters: URLSearchParams): Promise<string> {
  const response = await fetch(`${party.authorize}?${parameters}`, { redirect: 'manual' })
  const location = response.headers.get('location')
  if (location === null) return `page ${response.status}`
  const url = new URL(location, party.authorize)
  return url.searchParams.get('error') ?? new URLSearchParams(url.hash.slice(1)).get('error') ?? 'goes on'
}

async function formOutcome(url: string, form: Record<string, string>, headers = {}): Promise<string> {
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(form), headers })
  const text = await response.text()
  const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>)
  return `${response.status} ${String(body.error ?? 'ok')}`
}

test('wrong authorization requests are refused as oidc-provider refuses them', async t => {
  const { client, oracle, ours } = await startBoth(t)
  const { challenge } = newPkce()
  const cases: Record<string, string | undefined>[] = [
    {},
    { client_id: undefined },
    { client_id: 'nobody' },
    { redirect_uri: 'https://evil.test/' },
    { redirect_uri: `${client.redirectUri}&more` },
    { response_type: undefined },
    { response_type: 'made up' },
    { response_type: 'token' },
    { response_mode: 'made_up' },
    { prompt: 'none' },
    { prompt: 'none login' },
    { prompt: 'made_up' },
    { max_age: '-1' },
    { max_age: 'x' },
    { code_challenge: challenge, code_challenge_method: 'made up' },
    { code_challenge: 'short', code_challenge_method: 'S256' },
    { code_challenge_method: 'S256' },
    { code_challenge: challenge },
    { request: 'x' },
    { request_uri: 'https://app.example.com/r' },
    { registration: '{}' },
  ]
  for (const changes of cases) {
    const parameters = authorizeParameters(client, { scope: 'openid', ...changes })
    assert.equal(
      await authorizeOutcome(ours, parameters),
      await authorizeOutcome(oracle, parameters),
      JSON.stringify(changes),
    )
  }
})

test('where we differ on purpose at authorize', async t => {
  const { client, oracle, ours } = await startBoth(t)
  const differences: {
    changes: Record<string, string | undefined>
    oracle: string
    ours: string
    why: string
  }[] = [
    {
      changes: { redirect_uri: undefined },
      oracle: 'goes on',
      ours: 'page 400',
      why: 'the only registered URI is not filled in: what is compared was sent by the client',
    },
    {
      changes: { scope: 'nothing_known' },
      oracle: 'goes on',
      ours: 'invalid_scope',
      why: 'a grant of nothing is refused',
    },
  ]
  for (const difference of differences) {
    const parameters = authorizeParameters(client, { scope: 'openid', ...difference.changes })
    assert.equal(await authorizeOutcome(oracle, parameters), difference.oracle, `oracle: ${difference.why}`)
    assert.equal(await authorizeOutcome(ours, parameters), difference.ours, difference.why)
  }
})

test('wrong requests of clients are refused as oidc-provider refuses them', async t => {
  const { client, oracle, ours } = await startBoth(t)
  const own = { client_id: client.clientId, client_secret: client.clientSecret }
  const code = { grant_type: 'authorization_code', code: 'unknown', redirect_uri: client.redirectUri }
  const cases: [keyof Party, Record<string, string>, Record<string, string>?][] = [
    ['token', { ...own }],
    ['token', { ...own, grant_type: 'made_up' }],
    ['token', { ...own, ...code }],
    ['token', { ...own, grant_type: 'authorization_code', redirect_uri: client.redirectUri }],
    ['token', { ...own, grant_type: 'refresh_token' }],
    ['token', { ...own, grant_type: 'refresh_token', refresh_token: 'unknown' }],
    ['token', { ...code, client_id: client.clientId }],
    ['token', { ...code, client_id: client.clientId, client_secret: 'wrong' }],
    ['token', { ...code, client_id: 'nobody', client_secret: 'wrong' }],
    ['token', { ...code, ...own }, basic(client.clientId, client.clientSecret)],
    ['token', { ...code, client_id: 'other' }, basic(client.clientId, client.clientSecret)],
    [
      'token',
      { grant_type: 'refresh_token', refresh_token: 'unknown' },
      basic(client.clientId, client.clientSecret),
    ],
    ['introspection', { ...own }],
    ['introspection', { ...own, token: 'unknown' }],
    ['introspection', { client_id: client.clientId, client_secret: 'wrong', token: 'x' }],
    ['revocation', { ...own }],
    ['revocation', { ...own, token: 'unknown' }],
    ['revocation', { client_id: client.clientId, client_secret: 'wrong', token: 'x' }],
  ]
  const outcomes = async (party: Party) => {
    const all: string[] = []
    for (const [endpoint, form, headers] of cases)
      all.push(
        `${endpoint} ${Object.keys(form).join()}: ${await formOutcome(party[endpoint], form, headers)}`,
      )
    return all
  }
  assert.deepEqual(await outcomes(ours), await outcomes(oracle))
})

test('where we differ on purpose at the token endpoint', async t => {
  const { client, oracle, ours } = await startBoth(t)
  const own = { client_id: client.clientId, client_secret: client.clientSecret }
  const differences: { form: Record<string, string>; oracle: string; ours: string; why: string }[] = [
    {
      form: { ...own, grant_type: 'client_credentials' },
      oracle: '400 invalid_request',
      ours: '400 unauthorized_client',
      why: 'RFC 6749 §5.2 has a code for a client that may not use the grant',
    },
    {
      form: { ...own, grant_type: 'authorization_code', code: 'unknown' },
      oracle: '400 invalid_grant',
      ours: '400 invalid_request',
      why: 'a code cannot be redeemed without its redirect URI, so the parameter is missed first',
    },
    {
      form: { grant_type: 'refresh_token', refresh_token: 'unknown' },
      oracle: '400 invalid_request',
      ours: '401 invalid_client',
      why: 'RFC 6749 §5.2: no client authentication included',
    },
  ]
  for (const difference of differences) {
    assert.equal(
      await formOutcome(oracle.token, difference.form),
      difference.oracle,
      `oracle: ${difference.why}`,
    )
    assert.equal(await formOutcome(ours.token, difference.form), difference.ours, difference.why)
  }
})
