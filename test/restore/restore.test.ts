// The restore that docs/operations.md describes, rehearsed: a live installation is dumped, put into another server, and goes on there.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { silentLog } from '../../src/log.ts'
import { openConnection } from '../../src/pg/client.ts'
import { startEmbeddedPostgres } from '../../src/pg/embedded.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { createClient } from '../e2e/http-client.ts'
import { freePort, temporaryFolder } from '../e2e/installation.ts'
import { addApplication, addOutpost, officialClient } from '../e2e/official-client.ts'
import { databaseEnv, describeSite, startService, until } from '../e2e/production.ts'
import { type Seen, startUpstream } from '../e2e/upstream.ts'
import { startProgram } from '../programs.ts'

const run = promisify(execFile)

/** Server and client tools of one version: Debian's packages postgresql-15 to -18. */
const version = [18, 17, 16, 15].find(one => existsSync(`/usr/lib/postgresql/${one}/bin/pg_restore`))
const program = `/usr/lib/postgresql/${version}`
const skip =
  version === undefined
    ? 'needs a PostgreSQL with its client tools: apt-get install -y --no-install-recommends postgresql'
    : false

test('a dump of a live installation, restored into a new server, goes on: people stay signed in, unfinished tasks run once, files are there', {
  skip,
  timeout: 280_000,
}, async t => {
  const folder = await temporaryFolder(t)
  const from = await newServer(t)
  const upstream = await startUpstream(t)
  const site = await describeSite(from.target)
  const env = { ...site.env, AUTHENTIK_STORAGE__MEDIA__FILE__PATH: join(folder, 'media') }
  await mkdir(join(folder, 'media'))
  const corePort = Number(new URL(site.coreUrl).port)
  const server = await startService(t, 'server', env, { port: corePort })
  const worker = await startService(t, 'worker', env)
  const port = await freePort()
  const url = `http://wiki.localhost:${port}`
  const api = officialClient(site.coreUrl, site.token)
  const provider = await addApplication(api, { slug: 'wiki', externalHost: url, internalHost: upstream.url })
  const config = { authentik_host: site.coreUrl, session_backend: 'postgres' }
  const { token } = await addOutpost(api, 'edge', [provider], config)
  const outpostEnv = { AUTHENTIK_HOST: server.url, AUTHENTIK_TOKEN: token }
  const outpost = await startService(t, 'proxy', { ...databaseEnv(from.target), ...outpostEnv }, { port })
  await until('it is served', async () => (await createClient().ask(`${url}/`)).status === 302)
  const person = createClient()
  assert.equal(nameIn((await person.signIn(`${url}/`, 'akadmin', site.password)).body), 'akadmin')
  const image = await uploadImage(site.coreUrl, site.token)

  // What is to be done when the dump is made, and nobody does.
  assert.equal(await worker.program.stop(), 0)
  const waiting = await sendSchedule(site.coreUrl, site.token)
  assert.ok(waiting > 0, 'no task waits')

  // The installation is live: the commands of docs/operations.md, section "Backup and restore".
  const { hosts, user, password, database } = from.target
  const commands = await documented()
  const to = await newServer(t)
  const shell = {
    PATH: `${program}/bin:/usr/bin:/bin`,
    BACKUP: join(folder, 'backup'),
    AUTHENTIK_STORAGE__MEDIA__FILE__PATH: join(folder, 'media'),
  }
  await mkdir(shell.BACKUP)
  await run('sh', ['-euc', commands.backup], {
    env: { ...shell, ...libpq({ hosts, user, password, database }) },
  })
  const sessionsThen = await count(from.target, 'sessions')
  await outpost.program.stop()
  await server.program.stop()
  await rm(join(folder, 'media'), { recursive: true })
  await run('sh', ['-euc', commands.restore], { env: { ...shell, ...libpq(to.target) } })

  // The same settings, but for where the database is.
  const there = { ...env, ...databaseEnv(to.target) }
  assert.equal(await count(to.target, 'sessions'), sessionsThen)
  const again = await startService(t, 'server', there, { port: corePort })
  const outpostAgain = await startService(
    t,
    'proxy',
    { ...databaseEnv(to.target), AUTHENTIK_HOST: again.url, AUTHENTIK_TOKEN: token },
    { port },
  )
  await t.test('who was signed in is signed in, at the outpost and at Core', async () => {
    const answer = await person.ask(`${url}/`)
    assert.equal(answer.status, 200, JSON.stringify(answer.headers))
    assert.equal(nameIn(answer.body), 'akadmin')
    const me = await person.ask(`${site.coreUrl}/api/v3/core/users/me/`)
    assert.equal(me.status, 200)
  })
  await t.test('others can sign in', async () => {
    const other = createClient()
    assert.equal(nameIn((await other.signIn(`${url}/`, 'akadmin', site.password)).body), 'akadmin')
  })
  await t.test('what waited runs, once', async () => {
    const workerAgain = await startService(t, 'worker', there)
    await until(
      'everything that waited has run',
      async () => (await ask<{ n: number }>(to.target, unfinishedThen))[0]?.n === 0,
      90_000,
    )
    const twice = await ask(
      to.target,
      "select task_id from task_runs where state = 'done' group by task_id having count(*) filter (where final) > 1",
    )
    assert.deepEqual(twice, [])
    const runs = await ask<{ n: number }>(
      to.target,
      'select count(distinct task_id)::int as n from task_runs where final and task_id in (select id from public.waiting_then)',
    )
    assert.equal(runs[0]?.n, waiting)
    assert.equal(await workerAgain.program.stop(), 0)
  })
  await t.test('the image is served as before', async () => {
    const answer = await fetch(`${site.coreUrl}${image.url}`)
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), image.bytes)
  })
  await t.test('the doctor finds no error', async () => {
    const doctor = startProgram(t, ['doctor'], there)
    assert.equal(await doctor.ended, 0, doctor.output())
  })
  assert.equal(await outpostAgain.program.stop(), 0)
  assert.equal(await again.program.stop(), 0)

  /** Starts what a schedule starts; its jobs are noted in the database that is dumped. @returns how many wait */
  async function sendSchedule(core: string, key: string): Promise<number> {
    const call = async (method: string, path: string) => {
      const answer = await fetch(`${core}/api/v3/tasks/${path}`, {
        method,
        headers: { authorization: `Bearer ${key}` },
      })
      assert.ok(answer.ok, `${path}: ${answer.status}`)
      return answer.status === 204 ? undefined : await answer.json()
    }
    const { results } = (await call('GET', 'schedules/')) as { results: { id: string }[] }
    for (const { id } of results.slice(0, 3)) await call('POST', `schedules/${id}/send/`)
    await ask(from.target, waitingNow)
    return (
      (await ask<{ n: number }>(from.target, 'select count(*)::int as n from public.waiting_then'))[0]?.n ?? 0
    )
  }
})

const waitingNow = `create table public.waiting_then as
  select id from pgboss.job where state < 'active' and start_after <= now() and name not like '\\_\\_pgboss%'`
const unfinishedThen = `select count(*)::int as n from public.waiting_then w
  where not exists (select from public.task_runs r where r.task_id = w.id and r.final)`

/** A server of its own with fsync, as an operator's. */
async function newServer(t: TestContext) {
  const dataDir = await mkdtemp(join(tmpdir(), 'postern-restore-'))
  await chmod(dataDir, 0o755)
  const server = await startEmbeddedPostgres({ dataDir, log: silentLog, endWithUs: true, program })
  t.after(async () => {
    await server.destroy()
    await rm(dataDir, { recursive: true, force: true })
  })
  return server
}

function libpq({
  hosts,
  user,
  password,
  database,
}: Pick<PgTarget, 'hosts' | 'user' | 'password' | 'database'>) {
  return {
    PGHOST: hosts[0]?.host ?? '',
    PGPORT: String(hosts[0]?.port),
    PGUSER: user,
    PGPASSWORD: password,
    PGDATABASE: database,
  }
}

/** The commands of the page: the first two blocks of its section. */
async function documented(): Promise<{ backup: string; restore: string }> {
  const page = await readFile(join(import.meta.dirname, '../../docs/operations.md'), 'utf8')
  const section = page.split('\n## ').find(part => part.startsWith('Backup and restore\n')) ?? ''
  const [backup, restore] = [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(match => match[1])
  assert.ok(backup !== undefined && restore !== undefined, 'the page has no commands')
  return { backup, restore }
}

async function ask<Row>(target: PgTarget, text: string): Promise<Row[]> {
  const { client } = await openConnection(target, { applicationName: 'restore test' })
  try {
    return (await client.query(text)).rows as Row[]
  } finally {
    await client.end()
  }
}

async function count(target: PgTarget, table: string): Promise<number> {
  return (await ask<{ n: number }>(target, `select count(*)::int as n from ${table}`))[0]?.n ?? 0
}

function nameIn(body: string): string {
  return String((JSON.parse(body) as Seen).headers['x-authentik-username'])
}

async function uploadImage(core: string, key: string): Promise<{ url: string; bytes: Buffer }> {
  const bytes = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
    'base64',
  )
  const form = new FormData()
  form.append('name', 'icon.png')
  form.append('file', new Blob([bytes], { type: 'image/png' }), 'icon.png')
  const answer = await fetch(`${core}/api/v3/admin/file/`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
    body: form,
  })
  assert.equal(answer.status, 200, await answer.clone().text())
  return { url: ((await answer.json()) as { url: string }).url, bytes }
}
