// An engine of background tasks in the benchmark's own process, and a queue filled in one statement.
import { randomUUID } from 'node:crypto'
import Type from 'typebox'
import { silentLog } from '../src/log.ts'
import { createBeat } from '../src/pg/beat.ts'
import { createBus } from '../src/pg/bus.ts'
import { createDb, sql } from '../src/pg/db.ts'
import { createDirect } from '../src/pg/direct.ts'
import { createLeases } from '../src/pg/leases.ts'
import { createPool } from '../src/pg/pool.ts'
import type { PgTarget } from '../src/pg/target.ts'
import { defineActor } from '../src/pg/tasks/actor.ts'
import { createTasks } from '../src/pg/tasks/tasks.ts'

export type TaskEngine = Awaited<ReturnType<typeof startTaskEngine>>

/**
 * @param options.run body of the one actor, `noop`
 * @param options.hears false: notifications of others do not reach it, as if they were lost
 */
export async function startTaskEngine(options: {
  target: PgTarget
  role: 'enqueue' | 'work'
  concurrency?: number
  hears?: boolean
  run: (payload: { n: number }) => Promise<void>
}) {
  const { role, hears = true } = options
  const target = () => options.target
  const log = silentLog
  const node = { id: randomUUID(), name: `bench ${role}`, kind: 'worker', version: 'bench' }
  const pool = createPool({ target, max: 6, applicationName: 'bench pool', log })
  const db = createDb({ pool, schema: 'public', log })
  const direct = createDirect({ target, applicationName: 'bench direct', log, deadlineMs: 5000 })
  await direct.ready
  const beat = createBeat({ direct, schema: 'public', node, log })
  const bus = createBus({ direct, db, beat, log })
  const leases = createLeases({ db, beat, bus, log })
  const noop = defineActor({
    name: 'noop',
    description: 'Does nothing.',
    payload: Type.Object({ n: Type.Integer() }),
    run: async ({ payload }) => await options.run(payload),
  })
  const deaf = { ...bus, subscribe: () => () => {} }
  const tasks = createTasks({
    ...{ db, bus: hears ? bus : deaf, beat, leases, actors: [noop], role, log },
    concurrency: { default: options.concurrency ?? 8 },
  })
  if (role === 'work') await tasks.start()
  return {
    db,
    tasks,
    async close() {
      await tasks.close()
      await leases.close()
      await bus.close()
      await beat.close()
      await direct.close()
      await db.close()
    },
  }
}

/** Puts tasks of `noop` into the queue as `enqueue` would, in one statement. */
export async function fillQueue(engine: TaskEngine, count: number): Promise<void> {
  const { id } = await engine.tasks.enqueue(engine.db, 'noop', { n: 0 }, { delayMs: 3_600_000 })
  const columns = [
    ...[
      'policy',
      'priority',
      'group_id',
      'expire_seconds',
      'heartbeat_seconds',
      'retry_limit',
      'retry_delay',
    ],
    ...['retry_backoff', 'retry_delay_max', 'deletion_seconds', 'keep_until'],
  ].map(name => sql.id(name))
  await engine.db.rows(
    sql`
    insert into pgboss.job (name, id, singleton_key, data, start_after, ${sql.join(columns)})
    select j.name, i.id, i.id::text, jsonb_set(j.data, '{payload,n}', to_jsonb(i.n)), now(), ${sql.join(columns)}
    from pgboss.job j cross join (select gen_random_uuid() as id, n from generate_series(1, ${count}::int) as n) i
    where j.id = ${id}`,
    { deadlineMs: 300_000 },
  )
  await engine.db.rows(sql`delete from pgboss.job where id = ${id}`)
  await engine.db.rows(sql`analyze pgboss.job_common`, { deadlineMs: 300_000 })
}
