import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../../log.ts'
import { BackendError, chooseBackend, logBackend } from './backend.ts'

test("Core's value comes first, then the environment's, then the default", () => {
  const choose = (fromCore: string | null | undefined, fromEnvironment?: string) =>
    chooseBackend({ fromCore, fromEnvironment, embedded: false })
  assert.deepEqual(choose('postgres', 'filesystem'), { backend: 'postgres', source: 'core' })
  assert.deepEqual(choose('filesystem', 'postgres'), { backend: 'filesystem', source: 'core' })
  assert.deepEqual(choose('', 'postgresql'), { backend: 'postgres', source: 'environment' })
  assert.deepEqual(choose('  ', ' PostgreSQL\n'), { backend: 'postgres', source: 'environment' })
  assert.deepEqual(choose(null, ''), { backend: 'filesystem', source: 'default' })
  assert.deepEqual(choose(undefined), { backend: 'filesystem', source: 'default' })
})

test('the embedded outpost keeps its sessions in PostgreSQL, whatever Core says', () => {
  assert.deepEqual(chooseBackend({ fromCore: 'filesystem', embedded: true }), {
    backend: 'postgres',
    source: 'default',
  })
})

test('an unknown value is an error that names the setting, the value and what is allowed, never another store', () => {
  const choose = (fromCore: string, fromEnvironment: string) => () =>
    chooseBackend({ fromCore, fromEnvironment, embedded: false })
  assert.throws(choose('postgre', ''), (error: unknown) => {
    assert.ok(error instanceof BackendError)
    assert.equal(error.source, 'core')
    assert.match(error.message, /session_backend .*"postgre".*postgres, postgresql or filesystem/)
    return true
  })
  assert.throws(choose('', 'redis'), {
    source: 'environment',
    message: /AUTHENTIK_OUTPOSTS__SESSION_BACKEND is "redis"/,
  })
  assert.throws(choose('postgres', 'redis'), { source: 'environment' })
  assert.throws(choose('constructor', ''), BackendError)
})

test('the line about the backend has exactly the fields operators look for', () => {
  const lines: string[] = []
  const log = createLog({ level: 'info', logger: 'authentik.outpost', write: line => lines.push(line) })
  logBackend(log, 'postgres', { database: 'authentik', schema: 'public' })
  logBackend(log, 'filesystem', { database: 'authentik', schema: 'public' })
  const [first, second] = lines.map(line => {
    const { timestamp, ...fields } = JSON.parse(line)
    assert.match(timestamp, /Z$/)
    return fields
  })
  const literal = { event: 'configured session backend', level: 'info', logger: 'authentik.outpost.proxyv2' }
  assert.deepEqual(first, { ...literal, backend: 'postgres', database: 'authentik', schema: 'public' })
  assert.deepEqual(second, { ...literal, backend: 'filesystem' })
})
