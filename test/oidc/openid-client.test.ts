// A certified client library goes through everything an application does.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as oidc from 'openid-client'
import { locationOf } from './browser.ts'
import { answerAt, challengeAt, consentFlow } from './consent.ts'
import {
  addClient,
  addUser,
  type ClientOptions,
  startCore,
  type TestClient,
  type TestCore,
  type TestUser,
} from './core-app.ts'

// The library drops the query of a redirect URI when it redeems the code, so this one has none.
const callback = 'https://app.example.com/callback'
const redirectUris: ClientOptions['redirectUris'] = [
  { matching_mode: 'strict', url: callback, redirect_uri_type: 'authorization' },
  { matching_mode: 'strict', url: 'https://app.example.com/bye', redirect_uri_type: 'logout' },
]

/** The browser's part: follows the authorization URL to the redirect URI, consenting on the way. */
async function visit(core: TestCore, url: URL, user: TestUser): Promise<URL> {
  const page = locationOf(await fetch(url, { redirect: 'manual', headers: { cookie: user.cookie } }))
  if (!page.pathname.startsWith('/if/flow/')) return page
  const asked = await challengeAt(core, page, user)
  const done = await answerAt(core, page, user, { component: asked.component, token: asked.token })
  return new URL(String(done.to))
}

async function discover(
  core: TestCore,
  client: TestClient,
  auth?: oidc.ClientAuth,
): Promise<oidc.Configuration> {
  return oidc.discovery(
    new URL(`${core.base}/application/o/${client.slug}/`),
    client.clientId,
    client.clientSecret,
    auth,
    {
      execute: [oidc.allowInsecureRequests],
    },
  )
}

for (const [algorithm, key] of [
  ['RS256', 'rsa'],
  ['ES256', 'ecdsa'],
] as const) {
  test(`openid-client completes code with PKCE, userinfo, refresh, introspection, revocation and end-session (${algorithm})`, async t => {
    const core = await startCore(t)
    const alice = await addUser(core, 'alice')
    const client = await addClient(core, 'app', {
      key,
      redirectUris,
      authorizationFlowId: await consentFlow(core),
    })
    const auth =
      key === 'rsa' ? oidc.ClientSecretPost(client.clientSecret) : oidc.ClientSecretBasic(client.clientSecret)
    const config = await discover(core, client, auth)
    const pkceCodeVerifier = oidc.randomPKCECodeVerifier()
    const expectedState = oidc.randomState()
    const expectedNonce = oidc.randomNonce()
    const url = oidc.buildAuthorizationUrl(config, {
      redirect_uri: callback,
      scope: 'openid email profile offline_access',
      code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      state: expectedState,
      nonce: expectedNonce,
      max_age: '3600',
    })
    const tokens = await oidc.authorizationCodeGrant(config, await visit(core, url, alice), {
      pkceCodeVerifier,
      expectedState,
      expectedNonce,
      maxAge: 3600,
      idTokenExpected: true,
    })
    assert.equal(tokens.claims()?.sub, alice.uid)
    const info = await oidc.fetchUserInfo(config, tokens.access_token, alice.uid)
    assert.equal(info.email, 'alice@example.com')
    const refreshed = await oidc.refreshTokenGrant(config, tokens.refresh_token ?? '')
    assert.equal(refreshed.claims()?.sub, alice.uid)
    assert.equal((await oidc.tokenIntrospection(config, refreshed.access_token)).active, true)
    assert.equal((await oidc.tokenIntrospection(config, refreshed.refresh_token ?? '')).active, true)
    await oidc.tokenRevocation(config, refreshed.refresh_token ?? '')
    assert.equal((await oidc.tokenIntrospection(config, refreshed.access_token)).active, false)
    await assert.rejects(oidc.refreshTokenGrant(config, refreshed.refresh_token ?? ''), {
      error: 'invalid_grant',
    })
    const end = oidc.buildEndSessionUrl(config, {
      id_token_hint: tokens.id_token ?? '',
      post_logout_redirect_uri: 'https://app.example.com/bye',
      state: 'bye',
    })
    const bye = await fetch(end, { redirect: 'manual', headers: { cookie: alice.cookie } })
    assert.equal(bye.headers.get('location'), 'https://app.example.com/bye?state=bye')
  })
}

test('openid-client signs in with HS256, as a public client, and as a program', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const symmetric = await addClient(core, 'symmetric', { redirectUris })
  const config = await oidc.discovery(
    new URL(`${core.base}/application/o/symmetric/`),
    symmetric.clientId,
    { client_secret: symmetric.clientSecret, id_token_signed_response_alg: 'HS256' },
    undefined,
    { execute: [oidc.allowInsecureRequests] },
  )
  const url = oidc.buildAuthorizationUrl(config, { redirect_uri: callback, scope: 'openid' })
  const tokens = await oidc.authorizationCodeGrant(config, await visit(core, url, alice), {
    idTokenExpected: true,
  })
  assert.equal(tokens.claims()?.sub, alice.uid)
  const program = await oidc.clientCredentialsGrant(config, { scope: 'openid' })
  assert.ok(program.access_token)

  const open = await addClient(core, 'open', { type: 'public', key: 'ecdsa', redirectUris })
  const publicConfig = await discover(core, open, oidc.None())
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier()
  const publicUrl = oidc.buildAuthorizationUrl(publicConfig, {
    redirect_uri: callback,
    scope: 'openid',
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  })
  const publicTokens = await oidc.authorizationCodeGrant(publicConfig, await visit(core, publicUrl, alice), {
    pkceCodeVerifier,
  })
  assert.equal(publicTokens.claims()?.sub, alice.uid)
})
