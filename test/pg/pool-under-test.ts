// A pool on a database of its own, with a second one to look at it from outside.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { silentLog } from '../../src/log.ts'
import { PgError, type PgErrorCode } from '../../src/pg/errors.ts'
import { createPool, type PoolOptions } from '../../src/pg/pool.ts'
import { testDatabase } from '../postgres.ts'

export async function poolOf(t: TestContext, options: Partial<PoolOptions> = {}) {
  const { directTarget: target, adminTarget } = await testDatabase(t, { migrated: false })
  const pool = createPool({ target, max: 3, applicationName: 'pool under test', log: silentLog, ...options })
  const admin = createPool({ target: adminTarget, max: 1, applicationName: 'admin', log: silentLog })
  t.after(async () => {
    await pool.close()
    await admin.close()
  })
  return { pool, admin, target }
}

export function failsWith(code: PgErrorCode) {
  return (error: unknown) => {
    assert.ok(error instanceof PgError, `${error}`)
    assert.equal(error.code, code, error.message)
    return true
  }
}
