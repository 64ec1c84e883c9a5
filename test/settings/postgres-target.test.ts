import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PgTarget } from '../../src/pg/target.ts'
import { isIndirect, resolveIndirect } from '../../src/settings/indirect.ts'
import type { PostgresTarget } from '../../src/settings.ts'
import { loadSettings } from '../../src/settings.ts'
import { absent, load, outpostEnv, problemsOf } from './settings-fixture.ts'

// Does not compile when the two shapes drift apart.
const sameShape: PgTarget = {} as PostgresTarget
const andBack: PostgresTarget = {} as PgTarget

test('the target of the defaults is the one the reference product documents', () => {
  assert.ok(sameShape !== andBack)
  assert.deepEqual(load({}).postgresTarget(), {
    hosts: [{ host: 'localhost', port: 5432 }],
    user: 'authentik',
    password: '',
    database: 'authentik',
    sslmode: 'prefer',
    connectTimeoutMs: 5000,
  })
  assert.equal(load({ env: { POSTGRES_PASSWORD: 'pw' } }).postgresTarget().password, 'pw')
})

test('a root certificate without a mode means verify-full, and a mode that is set stays', () => {
  const root = { AUTHENTIK_POSTGRESQL__SSLROOTCERT: '/ca.pem' }
  assert.equal(load({ env: root }).postgresTarget().sslmode, 'verify-full')
  assert.equal(
    load({ env: { ...root, AUTHENTIK_POSTGRESQL__SSLMODE: 'Require' } }).postgresTarget().sslmode,
    'require',
  )
})

test('several hosts take one port or one each, and a folder is a socket', () => {
  const hosts = (env: Record<string, string>) => load({ env }).postgresTarget().hosts
  assert.deepEqual(hosts({ AUTHENTIK_POSTGRESQL__HOST: 'a, b', AUTHENTIK_POSTGRESQL__PORT: '1,2' }), [
    { host: 'a', port: 1 },
    { host: 'b', port: 2 },
  ])
  assert.deepEqual(hosts({ AUTHENTIK_POSTGRESQL__HOST: 'a,b', AUTHENTIK_POSTGRESQL__PORT: '7' })[1], {
    host: 'b',
    port: 7,
  })
  assert.deepEqual(hosts({ AUTHENTIK_POSTGRESQL__HOST: '/run/pg' }), [{ host: '/run/pg', port: 5432 }])
})

test('connection options are read from JSON and from base64, and override', () => {
  const options = {
    connect_timeout: 5,
    application_name: 'outpost',
    options: '-c x=y',
    target_session_attrs: 'read-write',
    sslnegotiation: 'direct',
    keepalives: 1,
  }
  const json = JSON.stringify(options)
  for (const text of [json, Buffer.from(json).toString('base64')]) {
    const target = load({ env: { AUTHENTIK_POSTGRESQL__CONN_OPTIONS: text } }).postgresTarget()
    assert.equal(target.connectTimeoutMs, 5000)
    assert.deepEqual(target.parameters, { application_name: 'outpost', options: '-c x=y' })
    assert.equal(target.targetSessionAttrs, 'read-write')
    assert.equal(target.sslnegotiation, 'direct')
  }
  assert.match(
    problemsOf({ env: { AUTHENTIK_POSTGRESQL__CONN_OPTIONS: '{"sslmod":"x"}' } })[0] ?? '',
    /"sslmod"; known are/,
  )
})

test('the direct target falls back key by key', () => {
  const settings = load({
    env: {
      AUTHENTIK_POSTGRESQL__HOST: 'pooler',
      AUTHENTIK_POSTGRESQL__PORT: '6432',
      AUTHENTIK_POSTGRESQL__PASSWORD: 'pw',
      AUTHENTIK_POSTGRESQL__DIRECT__HOST: 'database',
      AUTHENTIK_POSTGRESQL__DIRECT__PORT: '5432',
    },
  })
  assert.deepEqual(settings.directTarget(), {
    ...settings.postgresTarget(),
    hosts: [{ host: 'database', port: 5432 }],
  })
  assert.deepEqual(load({}).directTarget(), load({}).postgresTarget())
})

test('references are followed anew for every target, and one that breaks keeps the last value with one log line', () => {
  const files: Record<string, string | undefined> = { '/pw': ' first\n', '/port': '5433' }
  const settings = loadSettings({
    program: 'proxy',
    env: {
      ...outpostEnv,
      AUTHENTIK_POSTGRESQL__PASSWORD: 'file:///pw',
      AUTHENTIK_POSTGRESQL__PORT: 'file:///port',
    },
    files: [],
    readFile: path => files[path] ?? absent(),
  })
  const errors: unknown[] = []
  const log = {
    trace() {},
    debug() {},
    info() {},
    warning() {},
    error: (...line: unknown[]) => void errors.push(line),
    child: () => log,
    setLevel() {},
    enabled: () => true,
  }
  settings.announce(log)
  assert.equal(settings.postgresTarget().password, 'first')
  files['/pw'] = 'second'
  assert.equal(settings.postgresTarget().password, 'second')
  assert.equal(settings.directTarget().password, 'second')
  files['/pw'] = undefined
  files['/port'] = 'nonsense'
  assert.equal(settings.postgresTarget().password, 'second')
  assert.equal(settings.postgresTarget().hosts[0]?.port, 5433)
  assert.equal(errors.length, 2)
  assert.doesNotMatch(JSON.stringify(errors), /second|nonsense/)
  files['/port'] = '1,2'
  assert.equal(settings.postgresTarget().hosts[0]?.port, 5433)
  files['/pw'] = 'third'
  files['/port'] = '5434'
  assert.equal(settings.postgresTarget().password, 'third')
  assert.equal(settings.postgresTarget().hosts[0]?.port, 5434)
})

test('an unreadable file without fallback stops the start, with one the fallback counts', () => {
  assert.match(
    problemsOf({ env: { AUTHENTIK_POSTGRESQL__PASSWORD: 'file:///none' } })[0] ?? '',
    /^AUTHENTIK_POSTGRESQL__PASSWORD \(environment\): file \/none cannot be read \(ENOENT\)/,
  )
  assert.equal(
    load({ env: { AUTHENTIK_POSTGRESQL__PASSWORD: 'file:///none?fallback' } }).postgresTarget().password,
    'fallback',
  )
  assert.equal(
    load({ env: { AUTHENTIK_POSTGRESQL__PORT: 'env://NONE?5433' } }).postgresTarget().hosts[0]?.port,
    5433,
  )
  assert.equal(
    load({ env: { AUTHENTIK_INSECURE: 'file:///flag' }, files: { '/flag': 'true\n' } }).get(
      'AUTHENTIK_INSECURE',
    ),
    true,
  )
})

test('references follow the rules of the reference product', () => {
  const around = {
    env: { NAME: 'value', EMPTY: '' },
    readFile: (path: string) => (path === '/a b' ? 'text' : absent()),
  }
  const text = (uri: string) => {
    const resolved = resolveIndirect(uri, around)
    return resolved.kind === 'unreadable' ? undefined : resolved.text
  }
  assert.equal(text('env://NAME'), 'value')
  assert.equal(text('env://EMPTY?fallback'), '')
  assert.equal(text('env://NONE'), '')
  assert.equal(text('env://NONE?'), '')
  assert.equal(text('env://NONE?a?b'), 'a?b')
  assert.equal(text('file:///a%20b'), 'text')
  assert.equal(text('file://host/a%20b'), 'text')
  assert.equal(text('file://name'), undefined)
  assert.equal(text('file://name?x'), 'x')
  assert.equal(text('p@ss://x'), 'p@ss://x')
  assert.equal(text('vault://x'), 'vault://x')
  assert.equal(isIndirect('FILE:///x'), true)
  assert.equal(isIndirect('file:/x'), false)
})
