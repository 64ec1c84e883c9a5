import assert from 'node:assert/strict'
import { test } from 'node:test'
import { load, problemsOf } from './settings-fixture.ts'

const one = 'AUTHENTIK_POSTGRESQL__READ_REPLICAS__0__'
const two = 'AUTHENTIK_POSTGRESQL__READ_REPLICAS__7__'
const main = {
  AUTHENTIK_POSTGRESQL__HOST: 'primary',
  AUTHENTIK_POSTGRESQL__USER: 'me',
  AUTHENTIK_POSTGRESQL__PASSWORD: 'pw',
  AUTHENTIK_POSTGRESQL__CONN_OPTIONS: '{"target_session_attrs":"read-write"}',
}

test('a replica is like the main database but for what is set of it, and has options of its own', () => {
  assert.deepEqual(load({ env: main }).replicaTargets(), [])
  const env = {
    ...main,
    AUTHENTIK_POSTGRESQL__REPLICA_CONN_OPTIONS: '{"connect_timeout":2}',
    [`${two}HOST`]: 'b',
    [`${two}CONN_OPTIONS`]: '{"connect_timeout":9}',
    [`${one}HOST`]: 'a',
    [`${one}PORT`]: '6000',
    [`${one}PASSWORD`]: 'other',
  }
  const [a, b, ...rest] = load({ env })
    .replicaTargets()
    .map(target => target())
  assert.deepEqual(rest, [])
  const common = { user: 'me', database: 'authentik', sslmode: 'prefer' }
  assert.deepEqual(a, {
    ...common,
    hosts: [{ host: 'a', port: 6000 }],
    password: 'other',
    connectTimeoutMs: 2000,
  })
  assert.deepEqual(b, {
    ...common,
    hosts: [{ host: 'b', port: 5432 }],
    password: 'pw',
    connectTimeoutMs: 9000,
  })
})

test('a replica may be listed in a file, and a rotated password is seen at the next connection', () => {
  const yaml = 'postgresql:\n  read_replicas:\n    - host: a\n      password: file:///pw\n'
  const files: Record<string, string> = { '/etc/authentik/config.yml': yaml, '/pw': 'first\n' }
  const [target] = load({ files }).replicaTargets()
  assert.equal(target?.().password, 'first')
  files['/pw'] = 'second'
  assert.equal(target?.().password, 'second')
})

test('a replica without a host, with a value that cannot be read or with an unknown key stops the start', () => {
  assert.match(problemsOf({ env: { [`${one}PORT`]: '5432' } }).join(), /READ_REPLICAS__0__HOST is not set/)
  assert.match(
    problemsOf({ env: { [`${one}HOST`]: 'a', [`${one}PORT`]: 'x' } }).join(),
    /READ_REPLICAS__0__PORT \(environment\) /,
  )
  assert.match(
    problemsOf({ env: { [`${one}HOTS`]: 'a' } }).join(),
    /READ_REPLICAS__0__HOTS .*is not a setting/,
  )
  assert.match(
    problemsOf({ env: { [`${one}HOST`]: 'a', [`${one}PORT`]: '1,2' } }).join(),
    /READ_REPLICAS__0__PORT has 2 ports for 1 hosts/,
  )
})
