import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError } from '../errors.ts'
import {
  checkProxySettings,
  defaultProxySettings,
  type ProxySettings,
  proxyRedirectUris,
} from './proxy-settings.ts'

const good: ProxySettings = {
  ...defaultProxySettings,
  external_host: 'https://wiki.example.com',
  internal_host: 'http://10.0.0.1:8080',
}

/** Fields that are refused. */
function refused(change: Partial<ProxySettings>, baseUrl = 'https://core.example.com'): string[] {
  try {
    checkProxySettings({ ...good, ...change }, new URL(baseUrl))
    return []
  } catch (error) {
    if (!(error instanceof ApiError) || error.fields === undefined) throw error
    return Object.keys(error.fields).sort()
  }
}

test('an application is reached at a web address', () => {
  for (const host of [
    'https://wiki',
    'http://wiki.localhost:9000',
    'https://wiki.example.com/sub/',
    'HTTPS://Wiki',
  ])
    assert.deepEqual(refused({ external_host: host }), [], host)
  for (const host of [
    '',
    'wiki.example.com',
    'ftp://wiki.example.com',
    'javascript://wiki.example.com/%0aalert(1)',
    'https://user:word@wiki.example.com',
    'https://wiki.example.com?a=b',
    'https://wiki.example.com#part',
    'https://wiki.example.com\\@evil.example',
    'https:wiki.example.com',
    'https:///wiki.example.com',
    'https://wiki .example.com',
  ])
    assert.deepEqual(refused({ external_host: host }), ['external_host'], host)
})

test('mode proxy needs something to pass requests on to, and the forward modes do not', () => {
  assert.deepEqual(refused({ internal_host: '' }), ['internal_host'])
  assert.deepEqual(refused({ internal_host: 'nowhere' }), ['internal_host'])
  for (const mode of ['forward_single', 'forward_domain'] as const)
    assert.deepEqual(refused({ mode, internal_host: '' }), [], mode)
})

test("an application in mode proxy cannot take the identity provider's own host, however it is spelled", () => {
  for (const host of [
    'https://core.example.com',
    'http://core.example.com',
    'https://CORE.example.com:443/app/',
    'https://core.example.com.',
  ])
    assert.deepEqual(refused({ external_host: host }), ['external_host'], host)
  assert.deepEqual(refused({ external_host: 'http://core:9000' }, 'http://core:9000'), ['external_host'])
  assert.deepEqual(refused({ external_host: 'https://core.example.com', mode: 'forward_single' }), [])
  assert.deepEqual(refused({ external_host: 'https://core.example.com:8443' }), [])
  assert.deepEqual(refused({ external_host: 'https://other.core.example.com' }), [])
})

test('basic authentication needs both attributes', () => {
  assert.deepEqual(refused({ basic_auth_enabled: true, basic_auth_user_attribute: 'u' }), [
    'basic_auth_enabled',
  ])
  assert.deepEqual(
    refused({
      basic_auth_enabled: true,
      basic_auth_user_attribute: 'u',
      basic_auth_password_attribute: 'p',
    }),
    [],
  )
})

test('a cookie domain holds the host, on a label border', () => {
  for (const domain of ['', 'example.com', '.example.com', 'wiki.example.com'])
    assert.deepEqual(refused({ cookie_domain: domain }), [], domain)
  for (const domain of [
    'ample.com',
    'other.com',
    'example.com; Path=/',
    'https://example.com',
    'a.wiki.example.com',
  ])
    assert.deepEqual(refused({ cookie_domain: domain }), ['cookie_domain'], domain)
})

test('patterns and durations are checked when they are saved', () => {
  assert.deepEqual(refused({ skip_path_regex: '^/public/\r\n\n^/api/v[0-9]+/' }), [])
  assert.deepEqual(refused({ skip_path_regex: '^/ok\n^/(?=look)' }), ['skip_path_regex'])
  assert.deepEqual(refused({ access_token_validity: 'soon' }), ['access_token_validity'])
  assert.deepEqual(refused({ access_token_validity: '' }), ['access_token_validity'])
  assert.deepEqual(refused({ refresh_token_validity: 'weeks=99999999' }), ['refresh_token_validity'])
})

test('redirect URIs follow the external host: a path is replaced unless it ends in a slash', () => {
  const urls = (host: string) => proxyRedirectUris(host).map(uri => uri.url)
  assert.deepEqual(urls('https://a.example'), [
    'https://a.example/outpost.goauthentik.io/callback?X-authentik-auth-callback=true',
    'https://a.example?X-authentik-auth-callback=true',
  ])
  assert.equal(
    urls('https://a.example/sub')[0],
    'https://a.example/outpost.goauthentik.io/callback?X-authentik-auth-callback=true',
  )
  assert.equal(
    urls('https://a.example/sub/')[0],
    'https://a.example/sub/outpost.goauthentik.io/callback?X-authentik-auth-callback=true',
  )
  assert.ok(proxyRedirectUris('https://a.example').every(uri => uri.matching_mode === 'strict'))
})
