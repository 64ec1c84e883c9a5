// A process of its own that writes under a lease, for as long as it believes to hold it: started by the test that stops it in mid-work.
import { sql } from '../../src/pg/db.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { startProcess } from './process.ts'

const { target, name, ttlMs, beatMs } = JSON.parse(process.argv[2] ?? '{}') as {
  target: PgTarget
  name: string
  ttlMs: number
  beatMs: number
}
const { db, leases, close } = await startProcess(() => target, name, { intervalMs: beatMs })
let ended = false
process.on('SIGTERM', () => {
  ended = true
})
const over = new AbortController()
while (!ended) {
  const lease = await leases.acquire('work', { ttlMs, wait: over.signal }).catch(() => null)
  if (lease === null) continue
  for (let i = 0; i < 20 && !lease.signal.aborted && !ended; i++) {
    // The fence is checked where it counts: a process that was stopped after looking at its clock cannot write with an old one.
    await db
      .count(sql`insert into work (fence, holder)
        select fence, ${name} from leases where key = 'work' and fence = ${lease.fence} and expires_at > now() for share`)
      .catch(() => {})
    await new Promise(resolve => setTimeout(resolve, 2))
  }
  await lease.release()
}
over.abort()
await close()
