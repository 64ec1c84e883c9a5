import assert from 'node:assert/strict'
import { test } from 'node:test'
import { laneOf } from './lane-of.ts'

test('flows, OAuth, pages and applications go in the lane of signing in, lists and edits of the API in the general one', () => {
  for (const url of [
    '/',
    '/application/o/token/',
    '/if/flow/x/?next=/api/',
    '/api/v3/flows/executor/x/?query=',
    '/outpost.goauthentik.io/auth/nginx',
  ])
    assert.equal(laneOf(url), 'login', url)
  for (const url of [
    '/api/v3/core/users/?page=2',
    '/api/v3/events/events/',
    '/api/v3/flows/instances/',
    '/api/v3/schema/',
  ])
    assert.equal(laneOf(url), 'general', url)
})
