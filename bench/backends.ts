// What PostgreSQL notices of a program: its connections, and the statements it runs.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { openConnection } from '../src/pg/client.ts'
import type { PgTarget } from '../src/pg/target.ts'

export interface Noticed {
  /** connections at the same time, at most */
  peak: number
  /** other than begin, commit and the like */
  statements: number
  /** the three most frequent ones */
  most: string
}

export interface Backends {
  during(work: () => Promise<unknown>): Promise<Noticed>
  close(): Promise<void>
}

/** @param admin of the database that is watched; the watch itself asks from another one and counts nowhere */
export async function createBackendWatch(admin: PgTarget): Promise<Backends> {
  const { client } = await openConnection({ ...admin, database: 'postgres' }, { applicationName: 'bench' })
  return {
    async during(work) {
      const before = await calls(client, admin.database)
      let peak = 0
      let over = false
      const sampling = (async () => {
        while (!over) {
          peak = Math.max(peak, await count(client, admin.database))
          await sleep(20)
        }
      })()
      try {
        await work()
      } finally {
        over = true
        await sampling
      }
      const ran = [...(await calls(client, admin.database))]
        .map(([text, times]) => ({ text, times: times - (before.get(text) ?? 0) }))
        .filter(({ text, times }) => times > 0 && !isFrame(text))
        .toSorted((a, b) => b.times - a.times)
      const statements = ran.reduce((sum, { times }) => sum + times, 0)
      const short = (text: string) => text.replaceAll(/\s+/g, ' ').trim().slice(0, 70)
      const most = ran.slice(0, 3).map(({ text, times }) => `${times} × ${short(text)}`)
      return { peak, statements, most: most.join(' | ') }
    },
    close: () => client.end(),
  }
}

async function count(client: Client, database: string): Promise<number> {
  const { rows } = await client.query<{ count: string }>(
    "select count(*) from pg_stat_activity where datname = $1 and backend_type = 'client backend'",
    [database],
  )
  return Number(rows[0]?.count ?? 0)
}

async function calls(client: Client, database: string): Promise<Map<string, number>> {
  const { rows } = await client.query<{ text: string; count: string }>(
    `select s.query as text, sum(s.calls) as count from pg_stat_statements s
      join pg_database d on d.oid = s.dbid where d.datname = $1 group by s.query`,
    [database],
  )
  return new Map(rows.map(({ text, count: times }) => [text, Number(times)]))
}

function isFrame(text: string): boolean {
  return /^\s*(begin|start transaction|commit|rollback|savepoint|release|set local)\b/i.test(text)
}
