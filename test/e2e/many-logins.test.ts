// A crowd at the door of a small database: connections are shared, nobody is refused one.
import assert from 'node:assert/strict'
import { chmod } from 'node:fs/promises'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { silentLog } from '../../src/log.ts'
import { openConnection } from '../../src/pg/client.ts'
import { startEmbeddedPostgres } from '../../src/pg/embedded.ts'
import { eventually } from '../pg/eventually.ts'
import { testProgram } from '../postgres.ts'
import { endPrograms } from '../programs.ts'
import { temporaryFolder } from './installation.ts'
import { addPeople, signIn } from './people.ts'
import { describeSite, startService } from './production.ts'

const people = Number(process.env.POSTERN_TEST_LOGINS ?? 500)

test(`${people} people who sign in at once share at most 19 connections of 50, and none is refused`, {
  timeout: 290_000,
}, async t => {
  const dataDir = await temporaryFolder(t)
  await chmod(dataDir, 0o755)
  const postgres = await startEmbeddedPostgres({
    ...{ dataDir, log: silentLog, maxConnections: 50, endWithUs: true },
    ...{ settings: { fsync: 'off' }, ...testProgram() },
  })
  const { client } = await openConnection(postgres.adminTarget, { applicationName: 'watch' })
  t.after(async () => {
    await client.end()
    await endPrograms(t)
    await postgres.destroy()
  })
  const number = async (text: string) => {
    const { rows } = await client.query<{ n: number }>(text, [postgres.target.user])
    return rows[0]?.n ?? Number.NaN
  }
  const backends = () => number('select count(*)::int as n from pg_stat_activity where usename = $1')

  const site = await describeSite(postgres.target)
  const port = Number(new URL(site.coreUrl).port)
  const server = await startService(t, 'server', site.env, { port })
  const worker = await startService(t, 'worker', site.env)
  const crowd = await addPeople(postgres.target, people)
  let peak = 0
  let over = false
  const watching = (async () => {
    while (!over) {
      peak = Math.max(peak, await backends())
      await sleep(10)
    }
  })()
  try {
    const refusals = await Promise.all(crowd.map(one => signIn(server.url, one, 240_000)))
    t.diagnostic(`${refusals.reduce((sum, one) => sum + one, 0)} were told to come again in a moment`)
  } finally {
    over = true
    await watching
  }
  t.diagnostic(`${peak} connections at most`)
  assert.ok(peak <= 19, `${peak} connections`)
  for (const { program } of [server, worker])
    assert.doesNotMatch(program.output(), /too many clients|connection slots|53300/)
  // Locks of sessions would show here; those of transactions are over with them.
  await eventually(
    async () =>
      (await number("select count(*)::int as n from pg_locks where locktype = 'advisory' and $1 <> ''")) ===
      0,
  )
})
