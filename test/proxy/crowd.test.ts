// The promise in one test: three standalone outposts over PostgreSQL behind a balancer without stickiness, many people at once, and
// everything is restarted under them. POSTERN_TEST_USERS sets how many; 200 unless it does.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocketServer } from 'ws'
import { silentLog } from '../../src/log.ts'
import { startEmbeddedPostgres } from '../../src/pg/embedded.ts'
import { startInstallation, startOutpost, temporaryFolder } from '../e2e/installation.ts'
import { startBalancer } from './balancer.ts'
import { startUpstream } from './harness.ts'
import { createVisitor, type Visitor } from './visitor.ts'

const count = Number(process.env.POSTERN_TEST_USERS ?? 200)
const replicas = 3
/** A person reads for so long, on average: together some two hundred pages a second, whatever their number. */
const pauseMs = count * 5

interface Failure {
  /** ms since epoch: when the request was begun, and when it had failed */
  began: number
  at: number
  status: number
}

interface Window {
  event: string
  from: number
  to: number
}

test('three replicas behind a random balancer: kills, a rolling restart and a restart of PostgreSQL log nobody out', {
  timeout: 290_000,
}, async t => {
  const stage = stopwatch(t)
  const postgres = await startDatabase(t)
  const { installation, apiToken } = await startCore(t, postgres.env)
  const core = createApi(installation.coreUrl, apiToken)
  stage('installation')
  const people = await createPeople(core)
  stage('people')
  const outposts = await Promise.all(Array.from({ length: replicas }, () => startOutpost(t, installation)))
  const ports = outposts.map(({ url }) => Number(new URL(url).port))
  const balancer = await startBalancer(t, ports)
  const application = `http://crowd.localhost:${balancer}`
  await pointDemoAt(core, application, await startSite(t))
  const about = { application, core: installation.coreUrl }
  const visitors = people.map(person => createVisitor({ ...person, ...about }))
  // Every replica has fetched the new address: the first page sends people to a login instead of refusing the host.
  for (const port of ports) await untilKnown(port, `crowd.localhost:${balancer}`)

  stage('outposts')
  const windows: Window[] = []
  const during = async (event: string, work: () => Promise<void>) => {
    const from = Date.now()
    await work()
    // Connections that died with it are found out one by one.
    windows.push({ event, from, to: Date.now() + 2_500 })
    await sleep(500)
  }
  const replace = async (at: number, signal: NodeJS.Signals) => {
    await outposts[at]?.program.stop(signal)
    outposts[at] = await startOutpost(t, installation, { port: ports[at] })
  }

  const crowd = createCrowd(visitors)
  const running = crowd.run()
  await crowd.untilSignedIn(count / 4)
  stage('a quarter signed in')
  await during('SIGKILL of a replica, in the middle of logins', () => replace(0, 'SIGKILL'))
  await crowd.untilSignedIn(count)
  stage('all signed in')
  await during('SIGKILL of another replica', () => replace(1, 'SIGKILL'))
  for (let at = 0; at < replicas; at++)
    await during(`rolling restart ${at + 1}`, () => replace(at, 'SIGTERM'))
  stage('kills and rolls')
  await during('restart of PostgreSQL', () => postgres.restart())
  await sleep(3000)
  crowd.stop()
  const { pages, sockets, failures, redirects, logouts } = await running
  stage('restart of PostgreSQL')

  const outside = failures.filter(
    ({ began, at }) => !windows.some(({ from, to }) => at >= from && began <= to),
  )
  const other = failures.filter(({ status }) => status !== 502 && status !== 503)
  t.diagnostic(
    `${count} people, ${pages} pages, ${sockets} WebSockets, ${failures.length} answers 502/503 during restarts, ${redirects} redirects of signed-in people, ${logouts} logouts`,
  )
  assert.equal(redirects, 0)
  assert.equal(logouts, 0)
  assert.deepEqual(other, [])
  assert.deepEqual(outside, [], JSON.stringify(windows))
  assert.ok(pages > count * 5 && sockets > count)
})

/** Says how long each stage took. */
function stopwatch(t: TestContext): (stage: string) => void {
  let last = performance.now()
  return stage => {
    const now = performance.now()
    t.diagnostic(`${stage}: ${((now - last) / 1000).toFixed(1)} s`)
    last = now
  }
}

/** PostgreSQL of its own, which can be restarted. */
async function startDatabase(t: TestContext) {
  const dataDir = await temporaryFolder(t)
  const start = () => startEmbeddedPostgres({ dataDir, log: silentLog, maxConnections: 60, endWithUs: true })
  let server = await start()
  t.after(() => server.destroy())
  const { hosts, user, password, database } = server.target
  return {
    env: {
      AUTHENTIK_POSTGRESQL__HOST: hosts[0]?.host ?? '',
      AUTHENTIK_POSTGRESQL__PORT: String(hosts[0]?.port ?? 5432),
      AUTHENTIK_POSTGRESQL__USER: user,
      AUTHENTIK_POSTGRESQL__PASSWORD: password,
      AUTHENTIK_POSTGRESQL__NAME: database,
    },
    async restart() {
      await server.stop()
      server = await start()
    },
  }
}

async function startCore(t: TestContext, database: Record<string, string>) {
  const apiToken = randomBytes(30).toString('base64url')
  const env = { ...database, AUTHENTIK_BOOTSTRAP_TOKEN: apiToken }
  return { installation: await startInstallation(t, { env }), apiToken }
}

type Api = (method: string, path: string, body?: object) => Promise<Record<string, unknown>>

function createApi(core: string, token: string): Api {
  return async (method, path, body) => {
    const answer = await fetch(`${core}/api/v3/${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    const text = await answer.text()
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
    return text === '' ? {} : JSON.parse(text)
  }
}

async function pointDemoAt(core: Api, external_host: string, internal_host: string): Promise<void> {
  const { results } = (await core('GET', 'providers/proxy/')) as { results?: { pk: number; name: string }[] }
  const demo = results?.find(({ name }) => name === 'Demo')
  await core('PATCH', `providers/proxy/${demo?.pk}/`, { external_host, internal_host })
}

/** Pages that say who is there, and WebSockets that echo. */
async function startSite(t: TestContext): Promise<string> {
  const { url, server } = await startUpstream(t, (req, res) => {
    res.end(String(req.headers['x-authentik-username']))
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', socket => socket.on('message', message => socket.send(message)))
  t.after(() => sockets.close())
  return url
}

async function createPeople(core: Api): Promise<{ name: string; password: string; address: string }[]> {
  const password = randomBytes(12).toString('base64url')
  const people: { name: string; password: string; address: string }[] = []
  // A few at a time: more passwords at once than can be hashed in ten seconds are refused.
  const add = async () => {
    for (let at = people.length; at < count; at = people.length) {
      const name = `visitor-${at}`
      people.push({ name, password, address: `198.18.${at >> 8}.${(at & 255) + 1}` })
      const { pk } = await core('POST', 'core/users/', { username: name, name, path: 'users' })
      await core('POST', `core/users/${pk}/set_password/`, { password })
    }
  }
  await Promise.all(Array.from({ length: 8 }, add))
  return people
}

async function untilKnown(port: number, host: string): Promise<void> {
  for (const end = Date.now() + 15_000; ; await sleep(50)) {
    const answer = await fetch(`http://127.0.0.1:${port}/outpost.goauthentik.io/start`, {
      redirect: 'manual',
      headers: { 'x-forwarded-host': host },
    })
    if (answer.status === 401) return // a program that is not signed in: the application is there
    assert.ok(Date.now() < end, `the replica answers ${answer.status} for its new host`)
  }
}

function createCrowd(visitors: Visitor[]) {
  const signedIn = new Set<Visitor>()
  const failures: Failure[] = []
  const counted = { pages: 0, sockets: 0, redirects: 0, logouts: 0 }
  let over = false

  async function visit(visitor: Visitor): Promise<void> {
    await visitor.signIn()
    signedIn.add(visitor)
    for (let round = 0; !over; round++) {
      const began = Date.now()
      const { status, body, cleared } = await visitor.read()
      if (cleared.length > 0) counted.logouts++
      if (status === 200) {
        counted.pages++
        assert.equal(body, visitor.name)
      } else note(status, began)
      if (round % 4 === 0) {
        const openedAt = Date.now()
        const answer = await visitor.talk()
        if (answer === 101) counted.sockets++
        else note(answer, openedAt)
      }
      await sleep(pauseMs * (0.5 + Math.random()))
    }
  }

  function note(status: number, began: number): void {
    if (status === 302 || status === 401) counted.redirects++
    else failures.push({ began, at: Date.now(), status })
  }

  return {
    async run() {
      await Promise.all(visitors.map(visit))
      return { ...counted, failures }
    },
    async untilSignedIn(count: number) {
      for (const end = Date.now() + 200_000; signedIn.size < count; await sleep(50))
        assert.ok(Date.now() < end, `${signedIn.size} of ${count} have signed in`)
    },
    stop() {
      over = true
    },
  }
}
