import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createLog, silentLog } from '../../src/log.ts'
import { createCleanUp } from '../../src/proxy/sessions/clean-up.ts'
import { encodeFileRecord, recordFileName } from '../../src/proxy/sessions/file-record.ts'
import { createSessions } from '../../src/proxy/sessions/sessions.ts'
import { StoreUnavailable } from '../../src/proxy/sessions/store.ts'
import { createFilesystemStore } from '../../src/proxy/sessions/store-filesystem.ts'
import { until } from '../link/conformance.ts'
import { someRecord, storeConformance } from './conformance.ts'
import { sessionsConformance } from './sessions-conformance.ts'
import { someClaims, someProvider } from './sessions-harness.ts'

async function temporary(t: TestContext): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'postern-sessions-test-'))
  t.after(() => rm(parent, { recursive: true, force: true }))
  return join(parent, 'sessions')
}

async function open(t: TestContext) {
  const directory = await temporary(t)
  const another = async () => {
    const store = createFilesystemStore({ directory })
    await store.prepare()
    t.after(() => store.close())
    return store
  }
  return { store: await another(), another, directory }
}

storeConformance('filesystem', open)
sessionsConformance('filesystem', open)

test('the folder is made 0700 and its files are 0600', async t => {
  const { store, directory } = await open(t)
  const record = someRecord()
  await store.save(record)
  assert.equal((await stat(directory)).mode & 0o777, 0o700)
  assert.deepEqual(await readdir(directory), [recordFileName(record.keyHash)])
  assert.equal((await stat(join(directory, recordFileName(record.keyHash)))).mode & 0o777, 0o600)
})

test('a folder that others may use, a link, a file or a foreign folder stops the start with a line that says what to do', async t => {
  const directory = await temporary(t)
  const prepare = () => createFilesystemStore({ directory }).prepare()
  await mkdir(directory)
  await chmod(directory, 0o755)
  await assert.rejects(prepare(), /others may use it \(mode 755\).*POSTERN_SESSION_DIR/)
  await rm(directory, { recursive: true })
  await mkdir(`${directory}-real`, { mode: 0o700 })
  await symlink(`${directory}-real`, directory)
  await assert.rejects(prepare(), /symbolic link/)
  await rm(directory)
  await writeFile(directory, '')
  await assert.rejects(prepare(), /no folder/)
})

test('foreign files are ignored, kept, and never followed or waited for', async t => {
  const { store, directory } = await open(t)
  const record = someRecord()
  const outside = join(directory, '..', 'outside')
  await writeFile(outside, encodeFileRecord(record))
  await symlink(outside, join(directory, recordFileName(record.keyHash)))
  const pipe = randomBytes(32)
  execFileSync('mkfifo', [join(directory, recordFileName(pipe))])
  const folder = randomBytes(32)
  await mkdir(join(directory, recordFileName(folder)))
  await writeFile(join(directory, 'session_of_somebody_else'), 'x')
  await writeFile(join(directory, 'notes.txt'), 'x')
  for (const key of [record.keyHash, pipe, folder]) assert.equal(await store.load(key), null)
  assert.equal(await store.deleteBySid(record.sidHash!), 0)
  assert.equal(await store.cleanUp(), 0)
  assert.equal((await readdir(directory)).length, 5)
})

test('what a process that died while writing left behind is removed after minutes, not at once', async t => {
  const { store, directory } = await open(t)
  const name = (fill: string) => `.session_${fill.repeat(64)}.00000000-0000-4000-8000-000000000000.tmp`
  await writeFile(join(directory, name('a')), 'half')
  await writeFile(join(directory, name('b')), 'half')
  const tenMinutesAgo = Date.now() / 1000 - 600
  await utimes(join(directory, name('a')), tenMinutesAgo, tenMinutesAgo)
  await store.cleanUp()
  assert.deepEqual(await readdir(directory), [name('b')])
})

test('a folder that vanishes is an unavailable store, not a store without sessions', async t => {
  const { store, directory } = await open(t)
  const record = someRecord()
  await store.save(record)
  await rename(directory, `${directory}-away`)
  await assert.rejects(store.load(record.keyHash), StoreUnavailable)
  await assert.rejects(store.save(someRecord()), StoreUnavailable)
  await assert.rejects(store.deleteBySid(record.sidHash!), StoreUnavailable)
  await assert.rejects(store.check(), StoreUnavailable)
  await rename(`${directory}-away`, directory)
  await store.check()
  assert.ok(await store.load(record.keyHash))
})

test('a full disk is a clear error, leaves nothing half-written, and heals', {
  skip: !canMount() && 'needs root and mount',
}, async t => {
  const directory = await mkdtemp(join(tmpdir(), 'postern-full-disk-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'tmpfs', directory])
  t.after(async () => {
    execFileSync('umount', [directory])
    await rm(directory, { recursive: true })
  })
  const store = createFilesystemStore({ directory })
  await store.prepare()
  const big = () => someRecord({ sealed: randomBytes(20_000) })
  const kept = big()
  await store.save(kept)
  await assert.rejects(
    async () => {
      for (let count = 0; count < 10; count++) await store.save(big())
    },
    (error: unknown) =>
      error instanceof StoreUnavailable && /is full; free space or move/.test(error.message),
  )
  assert.ok((await readdir(directory)).every(name => name.startsWith('session_')))
  assert.ok(await store.load(kept.keyHash))
  await store.deleteAll()
  await store.save(big())
})

test('a session file changed by anybody in any byte is no session any more, and nothing throws', async t => {
  const { store, directory } = await open(t)
  const provider = someProvider()
  const create = createSessions({ store, leaseMs: 0, maxEntries: 10, log: silentLog })
  const { cookieValue, session } = await create.create(provider, someClaims(), Date.now() + 60_000)
  const path = join(directory, recordFileName(session.keyHash))
  const bytes = await readFile(path)
  for (let at = 0; at < bytes.length; at += 7) {
    const changed = Buffer.from(bytes)
    changed[at]! ^= 1 + (at % 255)
    await writeFile(path, changed)
    const fresh = createSessions({ store, leaseMs: 0, maxEntries: 10, log: silentLog })
    assert.equal((await fresh.find(provider, cookieValue)).kind, 'absent')
  }
  await writeFile(path, bytes)
  assert.equal((await create.find(provider, cookieValue)).kind, 'session')
})

/** A full disk can only be had with a disk of our own. */
function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  try {
    execFileSync('unshare', ['--mount', 'sh', '-c', 'mount -t tmpfs -o size=64k tmpfs /mnt'], {
      stdio: 'ignore',
    })
    return true
  } catch {
    return false
  }
}

test('clean-up runs by itself, survives a store that is away, and stops when closed', async t => {
  const { store, directory } = await open(t)
  const lines: string[] = []
  const log = createLog({ level: 'info', logger: 'test', write: line => lines.push(line) })
  const cleanUp = createCleanUp({ store, log, periodMs: 10 })
  t.after(() => cleanUp.close())
  await rename(directory, `${directory}-away`)
  await until(() => lines.some(line => line.includes('cannot be removed now')))
  await rename(`${directory}-away`, directory)
  await store.save(someRecord({ expiresAt: new Date(0) }))
  await until(() => lines.some(line => line.includes('"removed":1')))
  assert.deepEqual(await readdir(directory), [])
  await cleanUp.close()
})
