// A worker in a process of its own with one task that goes through pages; at page `stopAt` it does the work and never says so.
import Type from 'typebox'
import { type Db, sql } from '../../src/pg/db.ts'
import { definePagedActors } from '../../src/pg/tasks/fan-out.ts'
import { startTaskProcess } from './process.ts'

const { target, name, stopAt } = JSON.parse(process.argv[2] ?? '{}')
let pages = 0

const actors = (db: Db) =>
  definePagedActors(db, {
    name: 'visit',
    description: 'Visits every thing.',
    payload: Type.Object({}),
    backoffSeconds: 0.05,
    pageSize: 10,
    count: async () => (await db.first(sql<{ n: number }>`select count(*)::int as n from things`))?.n ?? 0,
    keys: async (on, _payload, after, limit) => {
      const rows = await on.rows(sql<{ id: string }>`
        select id from things where id > ${after ?? ''} order by id limit ${limit}`)
      return rows.map(row => row.id)
    },
    page: async keys => {
      await db.rows(sql`insert into visits (id, worker) select k, ${name} from unnest(${keys}::text[]) as k`)
      if (++pages === stopAt) await new Promise(() => {})
    },
  })
await startTaskProcess(() => target, actors, { name })
process.stdout.write('ready\n')
