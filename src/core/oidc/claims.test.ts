import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Principal } from '../sessions/principal.ts'
import { amrOf, claimsOf, grantedScopes, managedScopes, subOf } from './claims.ts'
import type { MappingRow } from './provider.sql.ts'

const principal: Principal = {
  user: {
    id: 7,
    uuid: 'a-uuid',
    uid: 'a-uid',
    username: 'alice',
    name: 'Alice',
    email: 'alice@example.com',
    email_verified: true,
    type: 'internal',
    path: 'users',
    attributes: { additionalHeaders: { 'X-Own': 'user' }, list: [3] },
  },
  isSuperuser: true,
  groups: [
    { id: '1', name: 'first' },
    { id: '2', name: 'second' },
  ],
  roleIds: [],
  permissions: new Set(),
}

const mappings: MappingRow[] = managedScopes.map(scope => ({
  managed: scope.managed,
  name: scope.name,
  scope_name: scope.scopeName,
  description: scope.description,
}))

const never = (mapping: MappingRow) => assert.fail(mapping.name)

test('claims are those of the granted scopes', () => {
  const subject = { principal, groupAttributes: [] }
  assert.deepEqual(claimsOf(subject, ['openid'], mappings, never), {})
  assert.deepEqual(claimsOf(subject, ['openid', 'email'], mappings, never), {
    email: 'alice@example.com',
    email_verified: true,
  })
  const profile = claimsOf(subject, ['profile'], mappings, never)
  assert.deepEqual(profile.groups, ['first', 'second'])
  assert.equal(profile.preferred_username, 'alice')
})

test('attributes of groups are merged in their order, those of the user last', () => {
  const groupAttributes = [
    { additionalHeaders: { 'X-Own': 'one', 'X-Group': 'one' }, list: [1] },
    { list: [2], deep: { a: 1 } },
  ]
  const { ak_proxy } = claimsOf({ principal, groupAttributes }, ['ak_proxy'], mappings, never)
  assert.deepEqual(ak_proxy, {
    user_attributes: {
      additionalHeaders: { 'X-Own': 'user', 'X-Group': 'one' },
      list: [1, 2, 3],
      deep: { a: 1 },
    },
    is_superuser: true,
  })
})

test('an attribute named like the prototype stays an attribute', () => {
  const planted = JSON.parse('{"__proto__": {"isAdmin": true}}') as Record<string, unknown>
  claimsOf({ principal, groupAttributes: [planted, planted] }, ['ak_proxy'], mappings, never)
  assert.equal(({} as Record<string, unknown>).isAdmin, undefined)
})

test('a mapping that is none of ours gives no claims and is reported', () => {
  const foreign: MappingRow = { managed: null, name: 'own', scope_name: 'openid', description: '' }
  const reported: string[] = []
  const claims = claimsOf({ principal, groupAttributes: [] }, ['openid'], [foreign], mapping =>
    reported.push(mapping.name),
  )
  assert.deepEqual(claims, {})
  assert.deepEqual(reported, ['own'])
})

test('scopes are granted as asked and mapped; nothing asked gives what is harmless', () => {
  assert.deepEqual(grantedScopes(['email', 'unknown', 'openid'], mappings), ['email', 'openid'])
  assert.deepEqual(grantedScopes(['openid'], []), ['openid'])
  const silent = grantedScopes([], mappings)
  assert.ok(silent.includes('profile'))
  assert.ok(!silent.includes('offline_access') && !silent.includes('goauthentik.io/api'))
})

test('sub falls back to the uid, and amr names the methods', () => {
  assert.equal(subOf('user_id', principal), '7')
  assert.equal(subOf('user_upn', principal), 'a-uid')
  assert.equal(subOf('hashed_user_id', principal), 'a-uid')
  assert.deepEqual(amrOf('password', {}), ['pwd'])
  assert.deepEqual(amrOf('password', { mfa_devices: [{ pk: 1 }] }), ['pwd', 'mfa'])
  assert.deepEqual(amrOf('oauth_client_secret', {}), [])
})
