import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exportJWK, exportSPKI, generateKeyPair, type JSONWebKeySet, type JWTPayload, SignJWT } from 'jose'
import { createTokenVerifier } from './verify-token.ts'

const issuer = 'https://core.example/application/o/app/'
const clientSecret = 'client-secret'.padEnd(64, 'x')
const bytes = (text: string) => new TextEncoder().encode(text)
const seconds = () => Math.floor(Date.now() / 1000)
const claims = (more: JWTPayload = {}) => ({
  iss: issuer,
  aud: 'client',
  sub: 'jane',
  exp: seconds() + 60,
  ...more,
})
const hs256 = (payload: JWTPayload, secret = clientSecret) =>
  new SignJWT(payload).setProtectedHeader({ alg: 'HS256' }).sign(bytes(secret))

function verifier(algorithms: string[], jwks: () => Promise<JSONWebKeySet> = async () => ({ keys: [] })) {
  return createTokenVerifier({ clientId: 'client', clientSecret, issuer, algorithms, jwks })
}

test('HS256: signature, issuer, audience, expiry, start and nonce all count', async () => {
  const { verify } = verifier(['HS256'])
  assert.equal((await verify(await hs256(claims({ nonce: 'n' })), 'n')).sub, 'jane')
  assert.ok(await verify(await hs256(claims({ aud: ['x', 'client'] }))))
  assert.ok(await verify(await hs256(claims({ nbf: seconds() + 200 }))), 'five minutes of leeway for nbf')
  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify(claims())).toString('base64url')}.`
  for (const bad of [
    unsigned,
    await hs256(claims(), 'another secret'),
    await hs256(claims({ iss: issuer.slice(0, -1) })),
    await hs256(claims({ aud: 'other' })),
    await hs256(claims({ exp: seconds() })),
    await hs256(claims({ exp: undefined })),
    await hs256(claims({ sub: undefined })),
    await hs256(claims({ nbf: seconds() + 400 })),
  ])
    await assert.rejects(verify(bad))
  await assert.rejects(verify(await hs256(claims({ nonce: 'other' })), 'n'), /nonce/)
  await assert.rejects(verify(await hs256(claims()), 'n'), /nonce/)
})

test('RS256: a token signed with the public key as an HMAC secret is refused, and so is one signed with the client secret', async () => {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256' }
  const { verify } = verifier(['RS256'], async () => ({ keys: [jwk] }))
  const good = await new SignJWT(claims()).setProtectedHeader({ alg: 'RS256', kid: 'one' }).sign(privateKey)
  assert.equal((await verify(good)).sub, 'jane')
  await assert.rejects(verify(await hs256(claims(), await exportSPKI(publicKey))))
  await assert.rejects(verify(await hs256(claims())))
})

test('an unknown key id fetches the keys again, but not at every token', async () => {
  const pairs = [await generateKeyPair('RS256'), await generateKeyPair('RS256')]
  const keys = await Promise.all(
    pairs.map(async (pair, at) => ({ ...(await exportJWK(pair.publicKey)), kid: `${at}` })),
  )
  let time = Date.now()
  let asked = 0
  const { verify } = createTokenVerifier({
    ...{ clientId: 'client', clientSecret, issuer, algorithms: ['RS256'] },
    jwks: async () => ({ keys: keys.slice(0, ++asked) }),
    now: () => time,
  })
  const token = (at: number) =>
    new SignJWT(claims({ exp: seconds() + 600 }))
      .setProtectedHeader({ alg: 'RS256', kid: `${at}` })
      .sign(pairs[at]?.privateKey ?? pairs[0]!.privateKey)
  await verify(await token(0))
  await assert.rejects(verify(await token(1)))
  assert.equal(asked, 1)
  time += 11_000
  await verify(await token(1))
  assert.equal(asked, 2)
})

test('a provider that announces no accepted algorithm verifies nothing', async () => {
  await assert.rejects(verifier(['none', 'HS512']).verify(await hs256(claims())), /no algorithm/)
})
