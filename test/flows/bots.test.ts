// Whoever only looks at the login page, however often, leaves nothing in the database.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Db, sql } from '../../src/pg/db.ts'
import { createBrowser } from './browser.ts'
import { startCore } from './core-app.ts'

/** POSTERN_TEST_BOTS=100000 for the number a search engine and its friends may come to in a day. */
const visits = Number(process.env.POSTERN_TEST_BOTS ?? 2000)
const atOnce = 16
const login = 'default-authentication-flow'

test('thousands of visits to the login page by programs without cookies add rows for fewer than one in a hundred', {
  timeout: 280_000,
}, async t => {
  const { base, core } = await startCore(t)
  await visit(base, atOnce)
  const before = await countRows(core.db)
  await visit(base, visits)
  const after = await countRows(core.db)
  const added = Object.fromEntries(
    Object.entries(after)
      .map(([table, rows]) => [table, rows - (before[table] ?? 0)] as const)
      .filter(([, rows]) => rows !== 0),
  )
  t.diagnostic(`${visits} visits added ${JSON.stringify(added)}`)
  const sum = Object.values(added).reduce((all, rows) => all + rows, 0)
  assert.ok(sum <= visits / 100, JSON.stringify(added))
})

/** Each is a browser of its own that loads the page and what the page then asks for. */
async function visit(base: string, count: number): Promise<void> {
  let begun = 0
  const bot = async () => {
    while (begun++ < count) {
      const browser = createBrowser(base)
      const page = await browser.get(`/if/flow/${login}/?next=%2F`, { 'user-agent': 'bot/1.0' })
      assert.equal(page.status, 200, page.text)
      if (begun % 2 === 0) browser.cookies.clear()
      const challenge = await browser.challenge(login, 'next=%2F')
      assert.equal(challenge.component, 'ak-stage-identification')
    }
  }
  await Promise.all(Array.from({ length: atOnce }, bot))
}

async function countRows(db: Db): Promise<Record<string, number>> {
  const tables = await db.rows<{ name: string }>(
    sql`select tablename as name from pg_tables where schemaname = ${db.schema}`,
  )
  const counts: Record<string, number> = {}
  for (const { name } of tables) {
    const row = await db.first<{ n: number }>(sql`select count(*)::int as n from ${db.t(name)}`)
    counts[name] = row?.n ?? 0
  }
  return counts
}
