import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PrincipalUser } from '../sessions/principal.ts'
import { launchUrl } from './launch-url.ts'

const alice: PrincipalUser = {
  id: 5,
  uuid: '00000000-0000-4000-8000-000000000005',
  uid: 'a'.repeat(64),
  username: 'alice & co',
  name: 'Alice',
  email: 'alice@example.com',
  email_verified: false,
  type: 'internal',
  path: 'users',
  attributes: {},
}
const nowhere = { meta_launch_url: '', external_host: null, first_redirect_uri: null }

test("the application's own address goes before the provider's", () => {
  const application = {
    meta_launch_url: 'https://wiki.example.com/home',
    external_host: 'https://proxy.example.com',
    first_redirect_uri: null,
  }
  assert.equal(launchUrl(application, alice), 'https://wiki.example.com/home')
  assert.equal(launchUrl({ ...application, meta_launch_url: '' }, alice), 'https://proxy.example.com/')
})

test('an OAuth2 application without an address is opened at the origin of its callback', () => {
  const callback = (url: string) => launchUrl({ ...nowhere, first_redirect_uri: url }, alice)
  assert.equal(
    callback('https://grafana.example.com/login/generic_oauth?x=1'),
    'https://grafana.example.com/',
  )
  assert.equal(callback('myapp://callback'), null)
  assert.equal(launchUrl(nowhere, alice), null)
})

test('placeholders are filled in so that they cannot change the address', () => {
  const own = (meta_launch_url: string) => launchUrl({ ...nowhere, meta_launch_url }, alice)
  assert.equal(
    own('https://mail.example.com/?u=%(username)s'),
    'https://mail.example.com/?u=alice%20%26%20co',
  )
  assert.equal(own('https://mail.example.com/%(constructor)s'), 'https://mail.example.com/%(constructor)s')
})

test('hidden, script and protocol-relative addresses lead nowhere', () => {
  for (const address of [
    'blank://blank',
    'JavaScript:alert(1)',
    'data:text/html,x',
    '//evil.example',
    '/\\evil.example',
    'no url',
  ])
    assert.equal(launchUrl({ ...nowhere, meta_launch_url: address }, alice), null, address)
  assert.equal(launchUrl({ ...nowhere, meta_launch_url: '/if/user/' }, alice), '/if/user/')
})
