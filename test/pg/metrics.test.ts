import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { silentLog } from '../../src/log.ts'
import { admit } from '../../src/pg/admission.ts'
import { createCache } from '../../src/pg/cache.ts'
import { createDb, sql } from '../../src/pg/db.ts'
import { inLane } from '../../src/pg/lane.ts'
import { registerDatabaseMetrics } from '../../src/pg/metrics.ts'
import { createPool } from '../../src/pg/pool.ts'
import { testDatabase } from '../postgres.ts'
import { startProcess } from './process.ts'

test('the metrics say what happened: connections, statements, messages, leases, cache, sizes', async t => {
  const { directTarget: target, countStatements } = await testDatabase(t)
  const process = await startProcess(target, 'p', { intervalMs: 10_000 })
  const pool = createPool({
    target,
    max: 4,
    applicationName: 'postern/test',
    log: silentLog,
    reservedForLogin: () => 1,
  })
  const db = createDb({ pool, schema: 'public', log: silentLog })
  const cache = createCache({ db, bus: process.bus, log: silentLog })
  const admission = await admit({ target: target(), schema: 'public', role: 'server', log: silentLog })
  t.after(async () => {
    cache.close()
    await process.close()
    await db.close()
  })
  const registry = new Registry()
  registerDatabaseMetrics(registry, {
    pool,
    db,
    log: silentLog,
    admission,
    bus: process.bus,
    leases: process.leases,
    cache,
  })

  for (let i = 0; i < 3; i++) await inLane('login', () => db.rows(sql`select 1`))
  await cache.get('n', 'k', { ttlMs: 60_000, load: async () => 1 })
  await cache.get('n', 'k', { ttlMs: 60_000, load: async () => 1 })
  const lease = await process.leases.acquire('metrics', { ttlMs: 60_000 })
  const text = await registry.metrics()
  const value = (line: string) => {
    const found = text.split('\n').find(one => one.startsWith(`${line} `))
    assert.ok(found !== undefined, `${line} in\n${text}`)
    return Number(found.slice(line.length + 1))
  }
  assert.equal(value('authentik_db_pool_max'), 4)
  assert.equal(value('authentik_db_pool_acquire_seconds_count{lane="login"}'), 3)
  assert.ok(value('authentik_db_query_seconds_count{name="select"}') >= 3)
  assert.ok(value('authentik_db_query_seconds_bucket{name="select",le="+Inf"}') >= 3)
  assert.equal(value('authentik_db_tls{protocol="none",ems="false"}'), 1)
  assert.ok(value('authentik_db_connections_opened_total') >= 1)
  assert.equal(value('authentik_db_connection_budget{part="granted"}'), admission.budget().pool)
  assert.equal(value('authentik_bus_healthy'), 1)
  assert.equal(value('authentik_lease_held'), 1)
  assert.equal(value('authentik_cache_hits_total{level="memory"}'), 1)
  assert.equal(value('authentik_cache_loads_total'), 1)
  assert.ok(value('authentik_db_relation_bytes{relation="cache_entries",cluster="true"}') >= 8192)
  assert.ok(
    /authentik_db_connections\{application_name="postern\/test",state="\w+",cluster="true"\} \d/.test(text),
  )
  assert.ok(value('authentik_db_notification_queue_usage{cluster="true"}') < 0.1)
  await lease?.release()

  const statements = await countStatements(async () => {
    for (let i = 0; i < 20; i++) await registry.metrics()
  })
  assert.deepEqual(statements, [])
})
