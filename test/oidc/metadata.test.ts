// What a client may know: discovery, keys, and from where scripts may read it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { outpostOidcConfiguration } from '../../src/core/oidc/discovery.ts'
import { sql } from '../../src/pg/db.ts'
import { codeFor, redeem } from './browser.ts'
import { addClient, addUser, startCore } from './core-app.ts'

test('RS256, ES256 and HS256 tokens verify with what the provider publishes, and no other key', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const algorithms: Record<string, 'rsa' | 'ecdsa' | undefined> = {
    RS256: 'rsa',
    ES256: 'ecdsa',
    HS256: undefined,
  }
  for (const [algorithm, key] of Object.entries(algorithms)) {
    const slug = algorithm.toLowerCase()
    const client = await addClient(core, slug, { key })
    const { body } = await redeem(core, client, await codeFor(core, client, alice))
    const discovery = await (
      await fetch(`${core.base}/application/o/${slug}/.well-known/openid-configuration`)
    ).json()
    const metadata = discovery as Record<string, unknown>
    assert.deepEqual(metadata.id_token_signing_alg_values_supported, [algorithm])
    const jwks = (await (await fetch(String(metadata.jwks_uri))).json()) as {
      keys: Record<string, unknown>[]
    }
    const options = { issuer: String(metadata.issuer), audience: client.clientId, algorithms: [algorithm] }
    if (key === undefined) {
      assert.deepEqual(jwks, { keys: [] })
      await jwtVerify(String(body.id_token), Buffer.from(client.clientSecret), options)
      continue
    }
    assert.equal(jwks.keys.length, 1)
    for (const name of ['x5c', 'x5t', 'x5t#S256', 'kid', 'alg', 'use']) assert.ok(jwks.keys[0]?.[name], name)
    assert.equal(jwks.keys[0]?.d, undefined, 'no private part')
    await jwtVerify(String(body.id_token), createLocalJWKSet(jwks), options)
    await jwtVerify(String(body.access_token), createLocalJWKSet(jwks), options)
  }
})

test('a provider whose key has no private part issues nothing, rather than signing with another key', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app', { key: 'ecdsa' })
  await core.database.db.count(sql`update certificate_keypairs set private_key_sealed = null`)
  const answer = await redeem(core, client, await codeFor(core, client, alice))
  assert.equal(answer.status, 500)
  assert.equal(answer.body.error, 'server_error')
  assert.equal(answer.body.access_token, undefined)
})

test('discovery tells what is served, under both well-known addresses', async t => {
  const core = await startCore(t)
  await addClient(core, 'app', { key: 'rsa' })
  const one = await fetch(`${core.base}/application/o/app/.well-known/openid-configuration`)
  const metadata = (await one.json()) as Record<string, unknown>
  assert.equal(metadata.issuer, `${core.base}/application/o/app/`)
  assert.equal(metadata.authorization_endpoint, `${core.base}/application/o/authorize/`)
  assert.equal(metadata.end_session_endpoint, `${core.base}/application/o/app/end-session/`)
  assert.deepEqual(metadata.code_challenge_methods_supported, ['S256'])
  assert.deepEqual(metadata.response_types_supported, ['code'])
  assert.ok((metadata.scopes_supported as string[]).includes('offline_access'))
  const two = await fetch(`${core.base}/.well-known/oauth-authorization-server/application/o/app/`)
  assert.deepEqual(await two.json(), metadata)
  const root = await fetch(`${core.base}/application/o/app/`, { redirect: 'manual' })
  assert.equal(root.status, 302)
  assert.equal(root.headers.get('location'), '/application/o/app/.well-known/openid-configuration')
  assert.equal((await fetch(`${core.base}/application/o/none/.well-known/openid-configuration`)).status, 404)
  assert.equal((await fetch(`${core.base}/application/o/a%00b/jwks/`)).status, 404)
})

test('an outpost gets its own host for what it calls itself, and the public name for what browsers visit', () => {
  const found = outpostOidcConfiguration(new URL('https://id.example.com'), 'app', 'http://core:9000')
  assert.equal(found.issuer, 'https://id.example.com/application/o/app/')
  assert.equal(found.authorization_endpoint, 'https://id.example.com/application/o/authorize/')
  assert.equal(found.end_session_endpoint, 'https://id.example.com/application/o/app/end-session/')
  assert.equal(found.token_endpoint, 'http://core:9000/application/o/token/')
  assert.equal(found.introspection_endpoint, 'http://core:9000/application/o/introspect/')
  assert.equal(found.userinfo_endpoint, 'http://core:9000/application/o/userinfo/')
  assert.equal(found.jwks_uri, 'http://core:9000/application/o/app/jwks/')
  assert.deepEqual(found.id_token_signing_alg_values_supported, ['HS256'])
})

test('scripts of a client’s own origin may read the answers, others not', async t => {
  const core = await startCore(t)
  const client = await addClient(core, 'app', {
    redirectUris: [
      {
        matching_mode: 'strict',
        url: 'https://spa.example.com/callback',
        redirect_uri_type: 'authorization',
      },
      { matching_mode: 'regex', url: 'https://evil\\.test/.*', redirect_uri_type: 'authorization' },
    ],
  })
  const call = (origin: string, method: string, path: string) =>
    fetch(`${core.base}${path}`, {
      method,
      headers: { origin },
      body: method === 'POST' ? new URLSearchParams({ client_id: client.clientId, token: 'x' }) : undefined,
    })
  for (const [origin, allowed] of [
    ['https://spa.example.com', 'https://spa.example.com'],
    ['https://evil.test', null],
    ['https://spa.example.com.evil.test', null],
    ['null', null],
  ] as const) {
    for (const [method, path] of [
      ['OPTIONS', '/application/o/token/'],
      ['POST', '/application/o/token/'],
      ['GET', '/application/o/app/jwks/'],
      ['GET', '/application/o/app/.well-known/openid-configuration'],
    ] as const) {
      const answer = await call(origin, method, path)
      assert.equal(answer.headers.get('access-control-allow-origin'), allowed, `${origin} ${method} ${path}`)
      assert.equal(answer.headers.get('access-control-allow-credentials'), null)
    }
  }
})
