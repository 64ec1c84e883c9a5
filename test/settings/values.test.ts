import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ParseError } from '../../src/settings/errors.ts'
import { settingsPage } from '../../src/settings/help.ts'
import { parseSetting } from '../../src/settings/parse.ts'
import { rows, type SettingKind, settingNames } from '../../src/settings/table.ts'
import { dumpSettings, programs, type SettingName, settingsHelp } from '../../src/settings.ts'
import { goodKey, load, problemsOf } from './settings-fixture.ts'

/** Texts each kind refuses. */
const refused: Partial<Record<SettingName, string[]>> = {
  AUTHENTIK_HOST: [
    'core.example',
    'ftp://core',
    'https://user:hidden@core',
    'https://core/?a=b',
    'https://core/#x',
  ],
  AUTHENTIK_INSECURE: ['yes', '2', 'tru'],
  AUTHENTIK_LISTEN__HTTP: [
    '9000',
    'localhost',
    '127.0.0.1:70000',
    '::1:9000',
    '[127.0.0.1]:1',
    '127.0.0.1:1,',
  ],
  AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS: ['10.0.0.0/33', 'all', '::1/129', '10.0.0.0/8;::1'],
  AUTHENTIK_LOG_LEVEL: ['loud', 'warn '.repeat(2)],
  AUTHENTIK_OUTPOSTS__SESSION_BACKEND: ['redis', 'memory'],
  AUTHENTIK_POSTGRESQL__HOST: ['a,,b', ' '],
  AUTHENTIK_POSTGRESQL__PORT: ['0', '65536', 'five', '5432,', '1,2'],
  AUTHENTIK_POSTGRESQL__SSLMODE: ['verify', 'on'],
  AUTHENTIK_POSTGRESQL__SSLCERT: ['/cert.pem'],
  AUTHENTIK_POSTGRESQL__CONN_MAX_AGE: ['soon', '1.5'],
  AUTHENTIK_POSTGRESQL__CONN_OPTIONS: [
    'not base64!',
    '{',
    '[]',
    'bnVsbA==',
    '{"user":"x"}',
    '{"connect_timeout":"soon"}',
    '{"sslnegotiation":"yes"}',
    '{"constructor":1}',
  ],
  POSTERN_SESSION_LEASE: ['-1', '31', 'hours=1', 'a while'],
  POSTERN_MIGRATE: ['maybe'],
}

for (const [name, texts] of Object.entries(refused))
  test(`${name} that does not fit stops the start and is named`, () => {
    for (const text of texts) {
      const problems = problemsOf({ env: { [name]: text } })
      assert.equal(problems.length, 1, text)
      assert.ok(problems[0]?.includes(name), problems[0])
    }
  })

test('every problem is reported at once, each with the place it comes from', () => {
  const problems = problemsOf({
    env: { AUTHENTIK_LOG_LEVEL: 'loud' },
    files: { '/etc/authentik/config.yml': 'insecure: perhaps' },
  })
  assert.deepEqual(problems, [
    'AUTHENTIK_INSECURE (/etc/authentik/config.yml) must be true or false; it is "perhaps"',
    'AUTHENTIK_LOG_LEVEL (environment) must be one of trace, debug, info, warning, error; it is "loud"',
  ])
})

test('a value that is secret, or that a reference led to, stands in no message', () => {
  const files = { '/run/secret': 'topsecret' }
  const cases: Record<string, string>[] = [
    { AUTHENTIK_POSTGRESQL__PORT: 'file:///run/secret' },
    { AUTHENTIK_LOG_LEVEL: 'env://HIDDEN', HIDDEN: 'topsecret' },
    { AUTHENTIK_POSTGRESQL__CONN_OPTIONS: '{"password":"topsecret"}' },
    { AUTHENTIK_TOKEN: 'topsecret\0' },
  ]
  for (const env of cases) {
    const text = problemsOf({ env, files }).join('\n')
    assert.doesNotMatch(text, /topsecret/)
    assert.match(text, /AUTHENTIK_/)
  }
})

test('booleans, durations, ages, ports and choices take every documented form', () => {
  const lease = (text: string) => load({ env: { POSTERN_SESSION_LEASE: text } }).get('POSTERN_SESSION_LEASE')
  assert.deepEqual([lease('0'), lease('0.5'), lease('seconds=3;milliseconds=500')], [0, 0.5, 3.5])
  const age = (text: string) =>
    load({ env: { AUTHENTIK_POSTGRESQL__CONN_MAX_AGE: text } }).get('AUTHENTIK_POSTGRESQL__CONN_MAX_AGE')
  assert.deepEqual([age('0'), age('-5'), age('60'), age('null')], [1800, 1800, 60, Number.POSITIVE_INFINITY])
  for (const yes of ['1', 't', 'T', 'TRUE', 'true', 'True'])
    assert.equal(load({ env: { AUTHENTIK_INSECURE: yes } }).get('AUTHENTIK_INSECURE'), true)
  for (const no of ['0', 'f', 'F', 'FALSE', 'false', 'False'])
    assert.equal(load({ env: { AUTHENTIK_INSECURE: no } }).get('AUTHENTIK_INSECURE'), false)
  assert.equal(
    load({ env: { AUTHENTIK_OUTPOSTS__SESSION_BACKEND: ' PostgreSQL ' } }).get(
      'AUTHENTIK_OUTPOSTS__SESSION_BACKEND',
    ),
    'postgresql',
  )
  assert.deepEqual(
    load({ env: { AUTHENTIK_LISTEN__HTTP: ':80, localhost:0' } }).get('AUTHENTIK_LISTEN__HTTP'),
    [
      { host: '0.0.0.0', port: 80 },
      { host: 'localhost', port: 0 },
    ],
  )
})

test('parsing any text either gives a value or says what would fit', () => {
  const kinds: SettingKind[] = [
    'string',
    'integer',
    'boolean',
    'duration',
    'age',
    'choice',
    'url',
    'listen',
    'cidrs',
    'ports',
    'connection-options',
  ]
  fc.assert(
    fc.property(fc.constantFrom(...kinds), fc.string(), (kind, text) => {
      try {
        parseSetting({ kind, default: '', values: ['a'], programs: [], help: '' }, text)
      } catch (error) {
        assert.ok(error instanceof ParseError)
        assert.match(error.message, /^must /)
      }
    }),
  )
})

test('each default in the table fits its own kind', () => {
  for (const name of settingNames) {
    const row = rows[name]
    for (const text of [row.default, row.startDefault ?? row.default])
      if (text !== '') parseSetting(row, text)
  }
})

test('programs do not start without what they need', () => {
  assert.deepEqual(
    problemsOf({ bare: true }).map(line => line.split(' ')[0]),
    ['AUTHENTIK_HOST', 'AUTHENTIK_TOKEN'],
  )
  assert.deepEqual(
    problemsOf({ bare: true, program: 'server' }).map(line => line.split(' ')[0]),
    ['AUTHENTIK_SECRET_KEY', 'POSTERN_BASE_URL'],
  )
  assert.equal(load({ bare: true, program: 'start' }).get('AUTHENTIK_SECRET_KEY'), '')
})

test('a short or well-known secret key is refused without being shown', () => {
  for (const key of [
    'short',
    'x'.repeat(64),
    'please-change-me-please-change-me-now',
    'django-insecure-0123456789abcdefghijklmn',
  ]) {
    const [problem = ''] = problemsOf({ bare: true, program: 'start', env: { AUTHENTIK_SECRET_KEY: key } })
    assert.match(problem, /^AUTHENTIK_SECRET_KEY/)
    assert.ok(!problem.includes(key))
  }
  assert.equal(
    load({ bare: true, program: 'start', env: { AUTHENTIK_SECRET_KEY: goodKey } }).get(
      'AUTHENTIK_SECRET_KEY',
    ),
    goodKey,
  )
})

test('Core behind a transaction pooler does not start without the direct host', () => {
  const env = { AUTHENTIK_POSTGRESQL__USE_PGBOUNCER: 'true' }
  assert.match(
    problemsOf({ bare: true, program: 'start', env })[0] ?? '',
    /AUTHENTIK_POSTGRESQL__DIRECT__HOST/,
  )
  load({ env })
  load({ bare: true, program: 'start', env: { ...env, AUTHENTIK_POSTGRESQL__DIRECT__HOST: 'db' } })
})

test('a dump names value and origin of every setting and masks secrets, given, referred to or built in', () => {
  const dump = dumpSettings(
    load({
      env: {
        AUTHENTIK_TOKEN: 'topsecret',
        AUTHENTIK_POSTGRESQL__PASSWORD: 'file:///pw?fallbacksecret',
        AUTHENTIK_LOG_LEVEL: 'env://LEVEL',
        LEVEL: 'debug',
      },
      files: { '/pw': 'othersecret' },
    }),
  )
  const byName = new Map(dump.map(line => [line.name, line]))
  assert.equal(dump.length, settingNames.length)
  assert.deepEqual(byName.get('AUTHENTIK_TOKEN'), {
    name: 'AUTHENTIK_TOKEN',
    value: '********',
    origin: 'environment',
  })
  assert.equal(byName.get('AUTHENTIK_POSTGRESQL__PASSWORD')?.value, '********')
  assert.deepEqual(byName.get('AUTHENTIK_POSTGRESQL__HOST'), {
    name: 'AUTHENTIK_POSTGRESQL__HOST',
    value: 'localhost',
    origin: 'default',
  })
  assert.equal(byName.get('AUTHENTIK_LOG_LEVEL')?.value, 'env://LEVEL')
  assert.doesNotMatch(JSON.stringify(dump), /secret"/)
})

test('the help of a program lists what it reads, and the page lists everything', () => {
  assert.match(settingsHelp('proxy'), /AUTHENTIK_TOKEN \(required\)/)
  assert.doesNotMatch(settingsHelp('proxy'), /AUTHENTIK_SECRET_KEY/)
  assert.match(settingsHelp('start'), /AUTHENTIK_LISTEN__HTTP=127\.0\.0\.1:9000/)
  for (const program of programs) assert.match(settingsHelp(program), /^Settings/)
  const page = settingsPage()
  for (const name of settingNames) assert.equal(page.split(`| \`${name}\` |`).length, 2, name)
})
