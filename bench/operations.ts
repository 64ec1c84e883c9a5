// One process that does one kind of thing again and again, on our side or on that of Redis, and says how fast and at what cost.
import { randomUUID } from 'node:crypto'
import { createClient } from '@redis/client'
import { findPrincipal, findSession } from '../src/core/sessions/sessions.sql.ts'
import { silentLog } from '../src/log.ts'
import { createCache } from '../src/pg/cache.ts'
import { lockInTx } from '../src/pg/lock.ts'
import type { PgTarget } from '../src/pg/target.ts'
import { sessionKey } from './made-sessions.ts'
import { startPgNode } from './pg-node.ts'

export interface OperationsArgs {
  target: PgTarget
  redis: string
  durableRedis: string
}

/** Sessions made beforehand, and users they belong to. */
export const madeSessions = 5_000
export const madeUsers = 1_000
const keys = 5_000
const value = {
  pk: '0190c1b2-6f5e-7d41-9e0c-0d2b6f1f9a55',
  name: 'Wiki of the whole company',
  slug: 'wiki',
  groups: ['staff', 'engineering', 'wiki-editors'],
  launch_url: 'https://wiki.example.org/outpost.goauthentik.io/start',
  icon: '/media/ab/abcdef0123456789.svg',
}

export type Operation = () => Promise<unknown>

/** Everything that is compared, by name; and what to close. */
export async function prepareOperations(args: OperationsArgs) {
  const ours = await startPgNode(args.target, 'bench', 6)
  const { db, bus, leases } = ours
  const cache = createCache({ db, bus, log: silentLog })
  const redis = createClient({ socket: { path: args.redis, tls: false } })
  const durable = createClient({ socket: { path: args.durableRedis, tls: false } })
  await Promise.all([redis.connect(), durable.connect()])
  const text = JSON.stringify(value)
  const use = { ttlMs: 3_600_000, load: async () => value }
  const inTable = { ...use, memory: false }
  const some = (count: number) => Math.floor(Math.random() * count)
  for (let from = 0; from < keys; from += 500) {
    const part = Array.from({ length: 500 }, (_, at) => String(from + at))
    await Promise.all(part.map(key => cache.get('held', key, use)))
    await Promise.all(part.map(key => redis.set(`held:${key}`, text, { PX: 3_600_000 })))
  }
  for (let from = 0; from < madeSessions; from += 100)
    await Promise.all(
      Array.from({ length: 100 }, async (_, at) => {
        const session = await findSession(db, sessionKey(from + at))
        await durable.set(`session:${from + at}`, JSON.stringify(session), { PX: 3_600_000 })
      }),
    )
  let fresh = 0
  const compareAndDelete = "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end"
  const script = await durable.scriptLoad(compareAndDelete)
  const operations: Record<string, Operation> = {
    getMemory: () => cache.get('held', String(some(1000)), use),
    getTable: () => cache.get('held', String(some(keys)), inTable),
    getRedis: async () => JSON.parse((await redis.get(`held:${some(keys)}`)) ?? 'null'),
    fillTable: () => cache.get('made', String(fresh++), inTable),
    setRedis: () => redis.set(`made:${fresh++}`, JSON.stringify(value), { PX: 3_600_000 }),
    async fillRedis() {
      const key = `filled:${fresh++}`
      if ((await redis.get(key)) !== null) return
      await redis.set(`${key}:lock`, '1', { PX: 30_000, condition: 'NX' })
      await Promise.all([redis.set(key, JSON.stringify(value), { PX: 3_600_000 }), redis.del(`${key}:lock`)])
    },
    lockTransaction: () => db.transaction(tx => lockInTx(tx, 'task', String(some(1_000_000)))),
    async lockLease() {
      const lease = await leases.acquire(`bench ${some(1_000_000)}`)
      await lease?.release()
    },
    async lockRedis() {
      const [key, holder] = [`lock:${some(1_000_000)}`, randomUUID()]
      if ((await durable.set(key, holder, { PX: 30_000, condition: 'NX' })) === null) return
      await durable.evalSha(script, { keys: [key], arguments: [holder] })
    },
    sessionOurs: () => findSession(db, sessionKey(some(madeSessions))),
    sessionRedis: async () => JSON.parse((await durable.get(`session:${some(madeSessions)}`)) ?? 'null'),
    async sessionRedisAndUser() {
      const session = JSON.parse((await durable.get(`session:${some(madeSessions)}`)) ?? 'null')
      return await findPrincipal(db, session.principal.user.id)
    },
  }
  return {
    operations,
    async close() {
      cache.close()
      redis.destroy()
      durable.destroy()
      await ours.close()
    },
  }
}
