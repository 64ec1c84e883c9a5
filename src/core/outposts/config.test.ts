import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, checkConfig, defaultConfig, readConfig, refreshSeconds } from './config.ts'

test('every key of the configuration has its default', () => {
  assert.deepEqual(
    { ...defaultConfig(), kubernetes_namespace: 'default' },
    {
      authentik_host: '',
      authentik_host_insecure: false,
      authentik_host_browser: '',
      log_level: 'info',
      object_naming_template: 'ak-outpost-%(name)s',
      refresh_interval: 'minutes=5',
      container_image: null,
      docker_network: null,
      docker_map_ports: true,
      docker_labels: null,
      kubernetes_replicas: 1,
      kubernetes_namespace: 'default',
      kubernetes_ingress_annotations: {},
      kubernetes_ingress_secret_name: 'authentik-outpost-tls',
      kubernetes_ingress_class_name: null,
      kubernetes_ingress_path_type: null,
      kubernetes_httproute_annotations: {},
      kubernetes_httproute_parent_refs: [],
      kubernetes_service_type: 'ClusterIP',
      kubernetes_disabled_components: [],
      kubernetes_image_pull_secrets: [],
      kubernetes_json_patches: null,
      kubernetes_disable_x509_strict: false,
      session_backend: '',
      kubernetes_postgresql_secret_name: '',
      kubernetes_postgresql_credentials_secret_name: '',
    },
  )
  assert.doesNotThrow(() => checkConfig(defaultConfig()))
})

test('what is stored is what was given, unknown keys included; defaults are filled in when it is read', () => {
  const stored = checkConfig({ log_level: 'debug', of_a_newer_version: { a: [1] } })
  assert.deepEqual(stored, { log_level: 'debug', of_a_newer_version: { a: [1] } })
  const read = readConfig(stored)
  assert.equal(read.log_level, 'debug')
  assert.equal(read.docker_map_ports, true)
  assert.deepEqual(read.of_a_newer_version, { a: [1] })
  assert.deepEqual(readConfig({}), defaultConfig())
  const broken = { refresh_interval: 5, kubernetes_replicas: 'many', session_backend: null }
  assert.deepEqual(readConfig(broken), defaultConfig(), 'what somebody wrote past the API does no harm')
})

test('two spellings of nothing become one', () => {
  assert.deepEqual(checkConfig({ session_backend: null, container_image: '' }), {
    session_backend: '',
    container_image: null,
  })
})

test('good values pass', () => {
  for (const config of [
    { session_backend: 'postgres' },
    { session_backend: ' PostgreSQL ' },
    { session_backend: 'filesystem' },
    { authentik_host: 'https://auth.example.com/sso/' },
    { object_naming_template: '%(uuid)s-%(name)s' },
    { refresh_interval: 'minutes=1;seconds=30' },
    { kubernetes_replicas: 0 },
    { kubernetes_ingress_path_type: null },
    { kubernetes_httproute_parent_refs: [{ name: 'gw', port: 8443, kind: 'Gateway' }] },
    { kubernetes_json_patches: { deployment: [{ op: 'add', path: '/spec/x', value: 1 }] } },
    { kubernetes_postgresql_secret_name: 'db.credentials-1' },
    { docker_labels: { a: 'b' } },
  ])
    assert.deepEqual(checkConfig(config), config)
})

test('bad values are refused with a message that names the key', () => {
  const bad: [string, unknown][] = [
    ['session_backend', 'postgre'],
    ['session_backend', 1],
    ['authentik_host', 'auth.example.com'],
    ['authentik_host', 'https://user:pw@host/'],
    ['authentik_host_browser', 'ftp://x'],
    ['authentik_host_insecure', 'true'],
    ['log_level', 'warn'],
    ['object_naming_template', 'x-%(slug)s'],
    ['object_naming_template', '100%'],
    ['refresh_interval', '5m'],
    ['refresh_interval', ''],
    ['kubernetes_replicas', true],
    ['kubernetes_replicas', 1001],
    ['kubernetes_replicas', -1],
    ['kubernetes_replicas', 1.5],
    ['kubernetes_service_type', 'External'],
    ['kubernetes_ingress_path_type', 'Regex'],
    ['kubernetes_httproute_parent_refs', [{ namespace: 'x' }]],
    ['kubernetes_httproute_parent_refs', [{ name: 'x', port: '80' }]],
    ['kubernetes_json_patches', { deployment: [{ op: 'change', path: '/x' }] }],
    ['kubernetes_json_patches', { deployment: [{ op: 'add', path: 'x' }] }],
    ['kubernetes_postgresql_secret_name', 'Upper'],
    ['kubernetes_postgresql_credentials_secret_name', '-x'],
    ['docker_labels', { a: 1 }],
    ['kubernetes_disabled_components', 'ingress'],
  ]
  for (const [key, value] of bad)
    assert.throws(
      () => checkConfig({ [key]: value }),
      (error: unknown) =>
        error instanceof ConfigError && error.message.startsWith(`Failed to validate config: ${key} `),
      `${key} = ${JSON.stringify(value)}`,
    )
})

test('the refresh interval stays between ten seconds and a day', () => {
  const seconds = (refresh_interval: string) => refreshSeconds(readConfig({ refresh_interval }))
  assert.equal(seconds('minutes=5'), 300)
  assert.equal(seconds('seconds=1'), 10)
  assert.equal(seconds('weeks=2'), 86_400)
  assert.equal(seconds('seconds=90;minutes=1'), 150)
})
