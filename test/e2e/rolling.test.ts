// A new version takes the place of the old one, server by server, while people sign in: first two servers of the checkout, then two of
// a copy that has one migration more. Old ones go on with the newer tables.
import assert from 'node:assert/strict'
import { cp, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { checkout } from '../checkout.ts'
import { eventually } from '../pg/eventually.ts'
import { testDatabase } from '../postgres.ts'
import { startProgram } from '../programs.ts'
import { startBalancer } from '../proxy/balancer.ts'
import { temporaryFolder } from './installation.ts'
import { addPeople, type Person, signIn } from './people.ts'
import { describeSite, type Environment, listenEnv } from './production.ts'

const people = 4
/** Logins that must have gone through before the next step. */
const between = 12

test('a rolling upgrade with a migration, while people sign in, fails no login', {
  timeout: 290_000,
}, async t => {
  const database = await testDatabase(t, { migrated: false })
  const newer = await copyWithMigration(t)
  const ports: number[] = []
  const balancer = await startBalancer(t, ports)
  const core = `http://localhost:${balancer}`
  const site = await describeSite(database.target())
  const env = { ...site.env, POSTERN_BASE_URL: core }
  const old = [await startServer(t, env, checkout), await startServer(t, env, checkout)]
  ports.push(...old.map(({ port }) => port))
  const load = signInAgainAndAgain(core, await addPeople(database.target(), people))
  t.after(() => load.stop())
  await load.more(between)

  for (const { port, program } of old) {
    const replacement = await startServer(t, env, newer)
    ports.push(replacement.port)
    await load.more(between)
    // As a balancer does that asks for readiness: nothing new is sent there, what is under way ends.
    ports.splice(ports.indexOf(port), 1)
    await load.more(between)
    assert.equal(await program.stop('SIGTERM'), 0, program.output())
    await load.more(between)
  }
  await load.stop()
  t.diagnostic(`${load.logins()} logins`)
  assert.deepEqual(load.failures, [])
  assert.equal((await database.db.rows(sql`select 1 from rolled`)).length, 1)
})

/** The checkout and one migration more; programs of it are as real as those of the checkout. */
async function copyWithMigration(t: TestContext): Promise<string> {
  const root = await temporaryFolder(t)
  for (const part of ['bin', 'src', 'migrations', 'package.json'])
    await cp(join(checkout, part), join(root, part), { recursive: true })
  for (const part of ['node_modules', 'web'])
    await symlink(join(checkout, part), join(root, part)).catch(() => {})
  const files = (await readdir(join(root, 'migrations'))).filter(name => /^\d{4}_/.test(name))
  const number = String(files.length + 1).padStart(4, '0')
  await writeFile(
    join(root, 'migrations', `${number}_rolled.sql`),
    `create table :schema.rolled (n integer not null); insert into :schema.rolled values (1);
     alter table :schema.sessions add column rolled integer; alter table :schema.users add column rolled text;`,
  )
  return root
}

async function startServer(t: TestContext, env: Environment, root: string) {
  const listen = await listenEnv()
  const program = startProgram(t, ['server'], { ...listen, ...env }, { root })
  await program.matches(/"event":"server is ready"/, 120_000)
  return { program, port: Number(listen.AUTHENTIK_LISTEN__HTTP?.split(':')[1]) }
}

function signInAgainAndAgain(core: string, crowd: Person[]) {
  const failures: string[] = []
  let logins = 0
  let stopped = false
  const running = crowd.map(async person => {
    while (!stopped)
      await signIn(core, person).then(
        () => logins++,
        error => failures.push(String(error)),
      )
  })
  return {
    failures,
    logins: () => logins,
    /** Until so many more have gone through, or one has failed. */
    async more(count: number) {
      const wanted = logins + count
      await eventually(() => logins >= wanted || failures.length > 0, 60_000)
    },
    async stop() {
      stopped = true
      await Promise.all(running)
    },
  }
}
