// What one process of Postern has towards PostgreSQL: pool, direct connection, beat, bus and leases, as the programs compose them.
import { randomUUID } from 'node:crypto'
import { silentLog as log } from '../src/log.ts'
import { createBeat } from '../src/pg/beat.ts'
import { createBus } from '../src/pg/bus.ts'
import { createDb } from '../src/pg/db.ts'
import { createDirect } from '../src/pg/direct.ts'
import { createLeases } from '../src/pg/leases.ts'
import { createPool } from '../src/pg/pool.ts'
import type { PgTarget } from '../src/pg/target.ts'

/** @param name shown by PostgreSQL as `application_name` */
export async function startPgNode(target: PgTarget, name: string, poolSize: number) {
  const node = { id: randomUUID(), name, kind: 'bench', version: '0' }
  const pool = createPool({ target: () => target, max: poolSize, applicationName: name, log })
  const db = createDb({ pool, schema: 'public', log })
  const direct = createDirect({ target: () => target, applicationName: `${name} direct`, log })
  await direct.ready
  const beat = createBeat({ direct, schema: 'public', node, log })
  const bus = createBus({ direct, db, beat, log })
  const leases = createLeases({ db, beat, bus, log })
  return {
    ...{ db, bus, beat, leases },
    async close() {
      await leases.close()
      await bus.close()
      await beat.close()
      await direct.close()
      await db.close()
    },
  }
}
