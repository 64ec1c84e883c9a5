// A Core with flows and pages behind a real listener, on a database of its own with the default objects; and a browser to visit it.
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { CoreApp } from '../../src/core/app.ts'
import type { Core } from '../../src/core/core.ts'
import { createFlows, type FlowEndHandler, type Flows } from '../../src/core/flows/flows.ts'
import { registerFlowRoutes } from '../../src/core/flows/routes.ts'
import { type FlowStart, startFlow } from '../../src/core/flows/start.ts'
import { administrator } from '../../src/core/installation/administrator.ts'
import { createDefaults, type Prepared, prepareDefaults } from '../../src/core/installation/defaults.ts'
import {
  completeSetup,
  ensureInstallation,
  setInitialPassword,
} from '../../src/core/installation/installation.sql.ts'
import { registerPageRoutes } from '../../src/core/pages/routes.ts'
import { insertUser } from '../../src/core/users/new-user.sql.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { sql } from '../../src/pg/db.ts'
import {
  bareCore,
  deafBus,
  listen,
  originOf,
  type Published,
  passwords,
  secrets,
  serve,
} from '../core/bare-core.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'

export interface TestCore {
  core: Core
  database: TestDatabase
  /** `http://127.0.0.1:<port>` */
  base: string
  /** messages published on the bus, in order */
  published: Published
  /** what `POST /test/start` starts; the answer is the `FlowStarted` */
  start: { next?: FlowStart }
}

export interface CoreOptions {
  /** default: the set-up is over, `akadmin` has the password `a-good-password` */
  setUp?: boolean
  setupToken?: string
  baseUrl?: string
  ends?: Record<string, FlowEndHandler>
}

export const adminPassword = 'a-good-password'
// A hash costs 35 ms; tests that need many users make it once.
const hashes = new Map<string, Promise<string>>()
const installationId = randomUUID()
let prepared: Promise<Prepared> | undefined

export async function startCore(t: TestContext, options: CoreOptions = {}): Promise<TestCore> {
  const database = await testDatabase(t)
  const server = await listen()
  const base = originOf(server)
  const published: Published = []
  const core = bareCore(database.db, {
    bus: deafBus(published),
    baseUrl: new URL(options.baseUrl ?? base),
    trusted: createTrustedPeers(['127.0.0.0/8']),
    installationId,
    webDirectory: await webDirectory(t),
    setupToken: options.setupToken ?? '',
  })
  await installDefaults(core, options.setUp !== false)
  const flows = createFlows({ core, ends: options.ends ?? {} })
  const start: TestCore['start'] = {}
  const register = (app: CoreApp) => {
    registerFlowRoutes(app, core, flows)
    registerPageRoutes(app, core)
    registerProbes(app, core, flows, start)
  }
  await serve(t, core, register, server)
  return { core, database, base, published, start }
}

/** What the first start leaves behind; its key pairs are made once for all tests. */
async function installDefaults({ db }: Core, setUp: boolean): Promise<void> {
  prepared ??= prepareDefaults(secrets)
  const ready = await prepared
  const hash = await hashOf(adminPassword)
  await db.transaction(async tx => {
    await ensureInstallation(tx, installationId, secrets.fingerprint)
    await createDefaults(tx, installationId, ready)
    if (!setUp) return
    await setInitialPassword(tx, administrator, { hash })
    await completeSetup(tx)
  })
}

/** An API route of an ordinary kind, and one through which a test starts a flow as another room would. */
function registerProbes(app: CoreApp, core: Core, flows: Flows, start: TestCore['start']): void {
  app.get('/api/v3/test/me/', { config: { access: 'authenticated' } }, request => ({
    username: request.principal?.user.username,
    session: request.browserSession?.id,
  }))
  app.get('/test/start', { config: { access: 'public' } }, (request, reply) => {
    if (start.next === undefined) throw new Error('the test did not say what to start')
    return startFlow(core, flows, request, reply, start.next)
  })
}

/** What `vite build` leaves behind, in small. */
async function webDirectory(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-web-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await mkdir(join(folder, '.vite'))
  await mkdir(join(folder, 'assets'))
  const manifest = {
    '_shared-1.js': { file: 'assets/shared-1.js' },
    'flow/main.tsx': { file: 'assets/flow-1.js', imports: ['_shared-1.js'], css: ['assets/flow-1.css'] },
    'user/main.tsx': { file: 'assets/user-1.js', imports: ['_shared-1.js'] },
  }
  await writeFile(join(folder, '.vite/manifest.json'), JSON.stringify(manifest))
  await writeFile(join(folder, 'assets/flow-1.js'), `// ${'flow '.repeat(300)}`)
  await writeFile(join(folder, 'assets/flow-1.css'), 'body{}')
  await writeFile(join(folder, 'postern.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>')
  return folder
}

export function hashOf(password: string): Promise<string> {
  const known = hashes.get(password) ?? passwords.hash(password)
  hashes.set(password, known)
  return known
}

export interface TestUser {
  id: number
  uid: string
  username: string
  password: string
}

export async function addUser(
  { core }: TestCore,
  username: string,
  options: { active?: boolean; email?: string; type?: 'internal' | 'external' } = {},
): Promise<TestUser> {
  const { id, uid } = await insertUser(core.db, installationId, {
    username,
    name: username,
    email: options.email ?? `${username}@example.com`,
    type: options.type ?? 'internal',
    isActive: options.active ?? true,
  })
  const password = 'correct horse battery'
  await core.db.count(sql`update users set password = ${await hashOf(password)} where id = ${id}`)
  return { id, uid, username, password }
}

/** Adds a flow of stages made for it, in this order. @returns its id */
export async function addFlow(
  { core: { db } }: TestCore,
  slug: string,
  designation: string,
  stages: [type: string, config: object][],
  columns: Record<string, string> = {},
): Promise<string> {
  const flow = await db.first<{ id: string }>(sql`insert into flows (slug, name, title, designation)
    values (${slug}, ${slug}, ${slug}, ${designation}) returning id`)
  for (const [name, value] of Object.entries(columns))
    await db.count(sql`update flows set ${sql.id(name)} = ${value} where id = ${flow!.id}`)
  for (const [order, [type, config]] of stages.entries())
    await db.count(sql`with stage as (
        insert into stages (type, name, config) values (${type}, ${`${slug} ${order}`}, ${JSON.stringify(config)}) returning id)
      insert into flow_stage_bindings (flow_id, stage_id, "order") select ${flow!.id}, id, ${order} from stage`)
  return flow!.id
}

/** Binds a user to an application, a flow or a stage binding. */
export async function bind(
  { core: { db } }: TestCore,
  targetId: string,
  user: { id: number },
  options: { negate?: boolean; expired?: boolean } = {},
): Promise<void> {
  const expiresAt = options.expired === true ? new Date(Date.now() - 1000) : null
  await db.count(sql`insert into policy_bindings (id, target_id, user_id, negate, expires_at)
    values (${randomUUID()}, ${targetId}, ${user.id}, ${options.negate ?? false}, ${expiresAt})`)
}
