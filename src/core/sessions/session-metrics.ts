// How many sessions there are, begin, and are ended: figures of the installation, which any process shows and none has to count
// (`cluster="true"`). The counters are the server's own statistics, which begin anew when it crashes.
import { Counter, Gauge, type Registry } from 'prom-client'
import { errorText, type Log } from '../../log.ts'
import type { Db } from '../../pg/db.ts'
import { readSessionFigures, type SessionFigures } from './session-metrics.sql.ts'

const memoMs = 60_000

/** The database is asked when it is scraped, at most once a minute. */
export function registerSessionMetrics(registry: Registry, options: { db: Db; log: Log }): void {
  const { db, log } = options
  let memo: { at: number; figures: Promise<SessionFigures | undefined> } | undefined
  const read = () => {
    if (memo !== undefined && performance.now() - memo.at < memoMs) return memo.figures
    const figures = readSessionFigures(db).catch(error => {
      log.warning('metrics of sessions cannot be read now', { error: errorText(error) })
      memo = undefined
      return undefined
    })
    memo = { at: performance.now(), figures }
    return figures
  }
  const cluster = 'true'
  const registers = [registry]
  const labelNames = ['kind', 'cluster']
  new Gauge({
    name: 'authentik_session_active',
    help: 'Sessions that have not ended: of Core signed in, of outposts estimated',
    labelNames,
    registers,
    async collect() {
      const found = await read()
      this.reset()
      if (found === undefined) return
      this.set({ kind: 'core', cluster }, found.core)
      this.set({ kind: 'proxy', cluster }, found.proxy)
    },
  })
  new Counter({
    name: 'authentik_session_created_total',
    help: 'Sessions that began; of Core anonymous ones too',
    labelNames,
    registers,
    async collect() {
      const found = await read()
      this.reset()
      if (found === undefined) return
      this.inc({ kind: 'core', cluster }, found.created.core)
      this.inc({ kind: 'proxy', cluster }, found.created.proxy)
    },
  })
  new Counter({
    name: 'authentik_session_revoked_total',
    help: 'Ends of sessions that outposts were told of',
    labelNames: ['cluster'],
    registers,
    async collect() {
      const found = await read()
      this.reset()
      if (found !== undefined) this.inc({ cluster }, found.revoked)
    },
  })
}
