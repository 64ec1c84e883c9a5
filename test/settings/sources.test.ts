import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { configFiles } from '../../src/settings/sources.ts'
import { loadSettings, SettingsError } from '../../src/settings.ts'
import { absent, load, outpostEnv, problemsOf } from './settings-fixture.ts'

test('the environment wins over config.d, config.d over config.yml, config.yml over proxy.env, and that over the defaults', () => {
  const name = 'AUTHENTIK_LOG_LEVEL'
  const all = {
    files: {
      '/etc/authentik/config.yml': 'log_level: warning',
      '/etc/authentik/config.d/10.yml': 'log_level: debug',
      '/etc/authentik/config.d/20.yml': 'log_level: trace',
      '.postern/proxy.env': 'AUTHENTIK_LOG_LEVEL=error',
    },
    env: { [name]: 'error' },
  }
  assert.equal(load(all).get(name), 'error')
  assert.equal(load(all).originOf(name), 'environment')
  const withoutEnv = load({ files: all.files })
  assert.equal(withoutEnv.get(name), 'trace')
  assert.equal(withoutEnv.originOf(name), '/etc/authentik/config.d/20.yml')
  assert.equal(
    load({
      files: { '/etc/authentik/config.yml': 'log_level: warning', '.postern/proxy.env': `${name}=error` },
    }).get(name),
    'warning',
  )
  const filled = load({ files: { '.postern/proxy.env': `${name}=error` } })
  assert.equal(filled.get(name), 'error')
  assert.equal(filled.originOf(name), '.postern/proxy.env')
  assert.equal(load({}).get(name), 'info')
  assert.equal(load({}).originOf(name), 'default')
  assert.equal(load({}).isSet(name), false)
})

test('proxy.env stands in POSTERN_DATA_DIR, gives the token, and is read by no other program', () => {
  const files = {
    '/srv/data/proxy.env': 'AUTHENTIK_HOST=http://127.0.0.1:9000\nAUTHENTIK_TOKEN="from file"\n',
  }
  const settings = load({ bare: true, files, env: { POSTERN_DATA_DIR: '/srv/data' } })
  assert.equal(settings.get('AUTHENTIK_TOKEN'), 'from file')
  const start = load({ program: 'start', bare: true, files, env: { POSTERN_DATA_DIR: '/srv/data' } })
  assert.equal(start.get('AUTHENTIK_TOKEN'), '')
})

test('an empty variable is a value for texts and listeners, and the same as not set for everything else', () => {
  const settings = load({
    env: {
      AUTHENTIK_LISTEN__HTTPS: '',
      AUTHENTIK_POSTGRESQL__PASSWORD: '',
      AUTHENTIK_LOG_LEVEL: '',
      AUTHENTIK_INSECURE: '',
    },
    files: { '.postern/proxy.env': 'AUTHENTIK_LISTEN__HTTPS=127.0.0.1:1' },
  })
  assert.deepEqual(settings.get('AUTHENTIK_LISTEN__HTTPS'), [])
  assert.equal(settings.get('AUTHENTIK_POSTGRESQL__PASSWORD'), '')
  assert.equal(settings.isSet('AUTHENTIK_POSTGRESQL__PASSWORD'), true)
  assert.equal(settings.get('AUTHENTIK_LOG_LEVEL'), 'info')
  assert.equal(settings.get('AUTHENTIK_INSECURE'), false)
})

test('npm start listens on loopback, the production programs on all addresses', () => {
  assert.deepEqual(load({ program: 'start', bare: true }).get('AUTHENTIK_LISTEN__HTTP'), [
    { host: '127.0.0.1', port: 9000 },
  ])
  assert.deepEqual(load({}).get('AUTHENTIK_LISTEN__HTTP'), [{ host: '0.0.0.0', port: 9000 }])
})

test('YAML gives nested keys, lists, options written out, and texts that look like numbers unchanged', () => {
  const yaml = `
listen:
  http: [127.0.0.1:8000, "[::1]:8000"]
  trusted_proxy_cidrs:
    - 10.0.0.0/8
    - ::1
postgresql:
  password: 0123
  conn_max_age: null
  sslmode: ~
  conn_options: { connect_timeout: 7, application_name: p }
postern:
  session_lease: 5
`
  const settings = load({ files: { '/etc/authentik/config.yml': yaml } })
  assert.deepEqual(settings.get('AUTHENTIK_LISTEN__HTTP'), [
    { host: '127.0.0.1', port: 8000 },
    { host: '::1', port: 8000 },
  ])
  assert.deepEqual(settings.get('AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS'), ['10.0.0.0/8', '::1'])
  assert.equal(settings.get('AUTHENTIK_POSTGRESQL__PASSWORD'), '0123')
  assert.equal(settings.get('AUTHENTIK_POSTGRESQL__CONN_MAX_AGE'), Number.POSITIVE_INFINITY)
  assert.equal(settings.isSet('AUTHENTIK_POSTGRESQL__SSLMODE'), false)
  assert.equal(settings.postgresTarget().connectTimeoutMs, 7000)
  assert.equal(settings.get('POSTERN_SESSION_LEASE'), 5)
})

test('a YAML file that does not parse, is no mapping, or cannot be read stops the start with its name and without its content', () => {
  for (const text of ['postgresql: {password: hunter2', '- hunter2', 'a: &x hunter2\nb: *x']) {
    const [problem] = problemsOf({ files: { '/etc/authentik/config.yml': text } })
    assert.match(problem ?? '', /^\/etc\/authentik\/config\.yml/)
    assert.doesNotMatch(problem ?? '', /hunter2/)
  }
  const readFile = () => {
    throw Object.assign(new Error('no'), { code: 'EACCES' })
  }
  assert.throws(
    () => loadSettings({ program: 'proxy', env: outpostEnv, files: ['/x.yml'], readFile }),
    (error: unknown) =>
      error instanceof SettingsError && /^\/x\.yml cannot be read \(EACCES\)/.test(error.message),
  )
})

test('empty and missing YAML files are no settings', () => {
  assert.equal(
    load({ files: { '/etc/authentik/config.yml': '# nothing\n' } }).get('AUTHENTIK_LOG_LEVEL'),
    'info',
  )
  assert.equal(
    loadSettings({ program: 'proxy', env: outpostEnv, files: ['/x.yml'], readFile: absent }).isSet(
      'AUTHENTIK_LOG_LEVEL',
    ),
    false,
  )
})

test('configuration files are config.yml and the .yml files of config.d in the order of their names', t => {
  const root = mkdtempSync('/tmp/postern-config-')
  t.after(() => rmSync(root, { recursive: true }))
  assert.deepEqual(configFiles(root), [join(root, 'config.yml')])
  mkdirSync(join(root, 'config.d'))
  for (const name of ['20-b.yml', '10-a.yml', 'notes.txt']) writeFileSync(join(root, 'config.d', name), '')
  assert.deepEqual(configFiles(root).slice(1), [
    join(root, 'config.d/10-a.yml'),
    join(root, 'config.d/20-b.yml'),
  ])
})
