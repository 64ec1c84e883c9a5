import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { PgError } from '../../src/pg/errors.ts'
import { waitForDatabase } from '../../src/pg/wait.ts'
import { testDatabase } from '../postgres.ts'

test('a database that comes up late is waited for, and tells its version and room', async t => {
  const { target } = await testDatabase(t, { migrated: false })
  let tries = 0
  const late = () => (++tries < 3 ? { ...target(), hosts: [{ host: '127.0.0.1', port: 1 }] } : target())
  const facts = await waitForDatabase(late, { log: silentLog })
  assert.equal(tries, 3)
  assert.ok(facts.versionNumber >= 150_000)
  assert.equal(facts.usableConnections, 197)
})

test('wrong credentials are not tried twice, and an absent database not for ever', async t => {
  const { target } = await testDatabase(t, { migrated: false })
  let tries = 0
  const wrong = () => {
    tries++
    return { ...target(), password: 'wrong' }
  }
  const coded = (code: string) => (error: unknown) => error instanceof PgError && error.code === code
  await assert.rejects(waitForDatabase(wrong, { log: silentLog }), coded('database_refused'))
  assert.equal(tries, 1)
  const absent = () => ({ ...target(), hosts: [{ host: '127.0.0.1', port: 1 }] })
  await assert.rejects(
    waitForDatabase(absent, { log: silentLog, timeoutMs: 250 }),
    coded('database_unavailable'),
  )
})
