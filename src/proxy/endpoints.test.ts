import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OidcConfiguration } from '../wire/outpost.ts'
import { publicEndpoints } from './endpoints.ts'

const internal = 'http://core.internal:9000/application/o'
const given: OidcConfiguration = {
  issuer: `${internal}/app/`,
  authorization_endpoint: `${internal}/authorize/`,
  token_endpoint: `${internal}/token/`,
  userinfo_endpoint: `${internal}/userinfo/`,
  end_session_endpoint: `${internal}/app/end-session/`,
  introspection_endpoint: `${internal}/introspect/`,
  jwks_uri: `${internal}/app/jwks/`,
  response_types_supported: [],
  id_token_signing_alg_values_supported: [],
  subject_types_supported: [],
  token_endpoint_auth_methods_supported: [],
}

test('scheme and host become the public ones, path and trailing slash stay', () => {
  const standalone = publicEndpoints(given, { embedded: false, url: 'https://id.example/ignored/' })
  assert.deepEqual(standalone, {
    issuer: 'https://id.example/application/o/app/',
    authorize: 'https://id.example/application/o/authorize/',
    endSession: 'https://id.example/application/o/app/end-session/',
    jwks: `${internal}/app/jwks/`,
  })
  const embedded = publicEndpoints(given, { embedded: true, url: 'https://id.example:8443' })
  assert.equal(embedded.jwks, 'https://id.example:8443/application/o/app/jwks/')
})

test('without a usable public address everything stays as given', () => {
  for (const url of ['', 'not a url', 'ftp://id.example'])
    assert.equal(publicEndpoints(given, { embedded: true, url }).authorize, given.authorization_endpoint)
})
