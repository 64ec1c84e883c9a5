// An installation at work for minutes: server, worker and a standalone outpost on one PostgreSQL, with events, tasks and logins at an even
// pace. What comes and goes must level off; what is kept may grow with what is kept, and with nothing else.
import { randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cleanUpActors } from '../src/core/tasks/clean-up.ts'
import { silentLog } from '../src/log.ts'
import { openConnection } from '../src/pg/client.ts'
import type { PgTarget } from '../src/pg/target.ts'
import { createTasks } from '../src/pg/tasks/tasks.ts'
import { createClient } from '../test/e2e/http-client.ts'
import type { Bench, BenchContext } from './context.ts'
import { type Emit, judged, rounded } from './figure.ts'
import { temporaryFolder } from './left-over.ts'
import { createUser } from './made-users.ts'
import { startPgNode } from './pg-node.ts'
import { createSampler, lastToMiddle, levels, type Sample, soakPicture } from './soak-samples.ts'
import { databaseSettings, freePort, type StartedProgram, startProgram } from './started-program.ts'

const eventsPerSecond = 100
const tasksPerSecond = 200
const loginsPerSecond = 100 / 60
const sampleMs = 5000
const users = 50
/** More are not begun while so many of a kind are under way: a machine that is too slow shows a lower rate, not errors. */
const mostUnderWay = 100
/** All logins come from one address, of which only so many are let in at a time. */
const mostLogins = 4
/** Caches fill and tables find their size first. */
const settleMs = 10_000
const token = randomBytes(30).toString('base64url')
const password = randomBytes(12).toString('base64url')

export const soak: Bench = { name: 'soak', byNameOnly: true, run }

interface Done {
  events: number
  tasks: number
  logins: number
  failures: string[]
}

async function run({ postgres, emit, document }: BenchContext): Promise<void> {
  const minutes = Number(process.env.POSTERN_SOAK_MINUTES ?? 10)
  if (!(minutes > 0)) throw new Error('POSTERN_SOAK_MINUTES is the number of minutes, above 0')
  const { target, adminTarget } = await postgres()
  const folder = await temporaryFolder('soak')
  const { client } = await openConnection(adminTarget, { applicationName: 'bench' })
  const elsewhere = { ...adminTarget, database: 'postgres' }
  const { client: statistics } = await openConnection(elsewhere, { applicationName: 'bench' })
  const open: StartedProgram[] = []
  let upstream: { close(): void } | undefined
  try {
    const site = await install(target, folder, open)
    upstream = site.upstream
    const rss = Object.fromEntries(Object.entries(site.programs).map(([name, { rss: read }]) => [name, read]))
    const over = new AbortController()
    const done: Done = { events: 0, tasks: 0, logins: 0, failures: [] }
    const working = work(target, site.entry, done, over.signal)
    await sleep(settleMs)
    const samples = await watch(
      createSampler({ client, statistics, database: target.database, rss }),
      minutes,
    )
    over.abort()
    await working
    report(samples, done, minutes, emit)
    const title = `${minutes} minutes at ${eventsPerSecond} events/s, ${tasksPerSecond} tasks/s, 100 logins/min`
    document.picture('soak', soakPicture(title, samples), title)
    const summary = join(tmpdir(), 'postern-soak.json')
    await writeFile(summary, JSON.stringify({ minutes, done, samples }))
    emit({
      name: 'soak_samples',
      value: samples.length,
      unit: 'samples',
      note: 'all of them, as JSON, in the temporary folder: postern-soak.json',
    })
  } finally {
    await Promise.all(open.map(one => one.stop()))
    upstream?.close()
    await Promise.all([client.end(), statistics.end()])
    await rm(folder, { recursive: true, force: true })
  }
}

/** `start` makes the installation with its demo, then the production programs take its place, on its port. */
async function install(target: PgTarget, folder: string, open: StartedProgram[]) {
  const port = await freePort()
  const site = { core: `http://localhost:${port}`, token }
  const listen = { AUTHENTIK_LISTEN__HTTP: `127.0.0.1:${port}` }
  const database = databaseSettings(target)
  const first = await startProgram('start', {
    ...{ ...database, ...listen, POSTERN_DATA_DIR: folder, AUTHENTIK_BOOTSTRAP_TOKEN: token },
  })
  open.push(first)
  for (let at = 0; at < users; at++) await createUser(site, `soak-${at}`, password)
  const provider = await fetch(`${site.core}/api/v3/providers/proxy/`, {
    headers: { authorization: `Bearer ${token}` },
  })
  const { results } = (await provider.json()) as { results: { internal_host: string }[] }
  await first.stop()
  const production = {
    ...database,
    AUTHENTIK_SECRET_KEY: (await readFile(join(folder, 'secret_key'), 'utf8')).trim(),
    POSTERN_BASE_URL: site.core,
  }
  const start = async (program: string, env: Record<string, string>) => {
    const started = await startProgram(program, env)
    open.push(started)
    return started
  }
  const server = await start('server', { ...production, ...listen })
  const worker = await start('worker', production)
  const proxy = await start('proxy', {
    ...{ POSTERN_DATA_DIR: folder, AUTHENTIK_OUTPOSTS__SESSION_BACKEND: 'postgres' },
  })
  return {
    programs: { server, worker, outpost: proxy },
    entry: `http://demo.localhost:${proxy.port}/`,
    upstream: serve(Number(new URL(results[0]?.internal_host ?? '').port)),
  }
}

/** The demo application, which belongs to `start`. */
function serve(port: number): { close(): void } {
  const server = createServer((_req, res) => res.end('hello')).listen(port, '127.0.0.1')
  return {
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

async function work(target: PgTarget, entry: string, done: Done, signal: AbortSignal): Promise<void> {
  const node = await startPgNode(target, 'bench load', 6)
  const actors = cleanUpActors({ db: node.db })
  const tasks = createTasks({ ...node, actors, log: silentLog, role: 'enqueue' })
  const failed = (what: string, error: unknown) => void done.failures.push(`${what}: ${String(error)}`)
  await Promise.all([
    pace(eventsPerSecond, mostUnderWay, signal, async at => {
      node.bus.publish('bench.event', { id: at % 1000, revision: at })
      done.events++
    }),
    pace(tasksPerSecond, mostUnderWay, signal, async () => {
      await tasks.enqueue(node.db, 'clean_proxy_sessions', {}).then(
        () => done.tasks++,
        error => failed('task', error),
      )
    }),
    pace(loginsPerSecond, mostLogins, signal, async at => {
      try {
        const { status } = await createClient().signIn(entry, `soak-${at % users}`, password)
        if (status === 200) done.logins++
        else failed('login', status)
      } catch (error) {
        failed('login', error)
      }
    }),
  ])
  await tasks.close()
  await node.close()
}

/** Begins so many a second, whatever the last ones take, until the signal; ends when all have. */
async function pace(
  perSecond: number,
  most: number,
  signal: AbortSignal,
  one: (at: number) => Promise<unknown>,
): Promise<void> {
  const began = performance.now()
  const underWay = new Set<Promise<unknown>>()
  for (let at = 0; !signal.aborted; ) {
    const due = Math.floor(((performance.now() - began) / 1000) * perSecond)
    for (; at < due && underWay.size < most; at++) {
      const task = one(at).finally(() => underWay.delete(task))
      underWay.add(task)
    }
    await sleep(10)
  }
  await Promise.all(underWay)
}

async function watch(look: () => Promise<Sample>, minutes: number): Promise<Sample[]> {
  await look()
  const samples: Sample[] = []
  const began = performance.now()
  while (performance.now() - began < minutes * 60_000) {
    await sleep(began + (samples.length + 1) * sampleMs - performance.now())
    samples.push(await look())
  }
  return samples
}

function report(samples: Sample[], done: Done, minutes: number, emit: Emit): void {
  for (const [name, read] of Object.entries(levels)) {
    const value = lastToMiddle(samples, read)
    const note = `last third to middle third; ${rounded(read(samples.at(-1) as Sample))} at the end`
    // Dead rows go up and down with each vacuum, so they are told and not judged.
    const figure = { name: `soak_${name.replaceAll(' ', '_')}`, value, unit: 'ratio', note }
    emit(name === 'dead rows' ? { ...figure, value: rounded(value) } : judged({ ...figure, goal: '<= 1.2' }))
  }
  const seconds = (settleMs + minutes * 60_000) / 1000
  const rate = (count: number) => rounded(count / seconds)
  const note = `${rate(done.events)} events/s, ${rate(done.tasks)} tasks/s, ${rounded((done.logins / seconds) * 60)} logins/min${done.failures.length > 0 ? `; first failure: ${done.failures[0]}` : ''}`
  emit(judged({ name: 'soak_failures', value: done.failures.length, unit: 'failures', goal: '<= 0', note }))
}
