import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nearestSetting } from '../../src/settings/unknown-keys.ts'
import { load, problemsOf } from './settings-fixture.ts'

test('an unknown key of our own sections stops the start and the nearest setting is named', () => {
  const cases: Record<string, string> = {
    AUTHENTIK_POSTGRESQL__HOTS: 'AUTHENTIK_POSTGRESQL__HOST',
    AUTHENTIK_LISTEN__HTPS: 'AUTHENTIK_LISTEN__HTTPS',
    AUTHENTIK_OUTPOSTS__SESSIONS_BACKEND: 'AUTHENTIK_OUTPOSTS__SESSION_BACKEND',
    POSTERN_BASEURL: 'POSTERN_BASE_URL',
  }
  for (const [name, nearest] of Object.entries(cases)) {
    const [problem = ''] = problemsOf({ env: { [name]: 'x' } })
    assert.ok(
      problem.startsWith(`${name} (environment) is not a setting`) && problem.includes(nearest),
      problem,
    )
  }
  assert.match(
    problemsOf({ files: { '/etc/authentik/config.yml': 'postgresql: { hots: x }' } })[0] ?? '',
    /config\.yml/,
  )
  assert.match(problemsOf({ env: { AUTHENTIK_POSTGRESQL__TLS_POLICY: 'compat' } })[0] ?? '', /always refused/)
  assert.equal(nearestSetting('POSTERN_QQQQQQQQ'), undefined)
})

test('keys only the reference product uses, and leftovers of Redis, are named and do nothing', () => {
  const lines: { event: string; fields: Record<string, unknown> | undefined }[] = []
  const settings = load({
    env: {
      AUTHENTIK_REDIS__HOST: 'redis',
      AUTHENTIK_REDIS__PASSWORD: 'hunter2',
      AUTHENTIK_ERROR_REPORTING__ENABLED: 'true',
      AUTHENTIK_ERROR_REPORTING__SENTRY_DSN: 'hunter2',
      AUTHENTIK_POSTGRESQL__CONN_HEALTH_CHECKS: 'true',
      AUTHENTIK_POSTGRESQL__READ_REPLICAS__0__HOST: 'replica',
      AUTHENTIK_POSTGRESQL__READ_REPLICAS__0__CONN_MAX_AGE: '60',
      POSTERN_TEST_POSTGRES: '{}',
    },
  })
  const log = recorder(lines)
  settings.announce(log)
  settings.announce(log)
  assert.equal(lines.filter(line => line.event.includes('Redis')).length, 2)
  assert.deepEqual(
    lines.filter(line => line.event === 'setting has no effect').map(line => line.fields?.setting),
    ['AUTHENTIK_POSTGRESQL__CONN_HEALTH_CHECKS', 'AUTHENTIK_POSTGRESQL__READ_REPLICAS__0__CONN_MAX_AGE'],
  )
  assert.deepEqual(lines.at(-1)?.fields, {
    settings: ['AUTHENTIK_ERROR_REPORTING__ENABLED', 'AUTHENTIK_ERROR_REPORTING__SENTRY_DSN'],
  })
  assert.doesNotMatch(JSON.stringify(lines), /hunter2/)
})

test('the variables Kubernetes makes for a Service called postern are no settings', () => {
  const env = {
    POSTERN_SERVICE_HOST: '10.0.0.1',
    POSTERN_SERVICE_PORT: '80',
    POSTERN_SERVICE_PORT_HTTP: '80',
    POSTERN_PORT: 'tcp://10.0.0.1:80',
    POSTERN_PORT_80_TCP_ADDR: '10.0.0.1',
    POSTERN_OUTPOST_SERVICE_HOST: '10.0.0.2',
    POSTERN_OUTPOST_PORT_9000_TCP: 'tcp://10.0.0.2:9000',
  }
  load({ env })
  assert.match(problemsOf({ env: { POSTERN_PORT: '80' } })[0] ?? '', /^POSTERN_PORT /)
  assert.match(problemsOf({ env: { ...env, POSTERN_LEASE: '2' } })[0] ?? '', /^POSTERN_LEASE /)
})

function recorder(lines: { event: string; fields: Record<string, unknown> | undefined }[]) {
  const write = (event: string, fields?: Record<string, unknown>) => {
    lines.push({ event, fields })
  }
  return {
    trace: write,
    debug: write,
    info: write,
    warning: write,
    error: write,
    child: () => recorder(lines),
    setLevel() {},
    enabled: () => true,
  }
}
