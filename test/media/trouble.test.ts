import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { contentAddress, isContentAddress } from '../../src/core/media/names.ts'
import { createMediaStore } from '../../src/core/media/store.ts'
import { filesIn, png, startCore } from './start-core.ts'

test('one file uploaded to four replicas at once is one file, and nobody reads a part of it', async t => {
  const core = await startCore(t)
  const replicas = await Promise.all([core.replica(), core.replica(), core.replica()])
  const people = [core.admin, ...replicas.map(replica => replica.as(core.admin.key))]
  const size = 2 * 1024 * 1024
  const file = png('shared', size)
  const url = `${core.origin}/media/public/${contentAddress(Buffer.from(await file.arrayBuffer()), 'png')}`
  let over = false
  let reads = 0
  const reading = (async () => {
    while (!over || reads === 0) {
      const response = await fetch(url)
      const length = (await response.bytes()).length
      if (response.status !== 200) continue
      assert.equal(length, size)
      reads += 1
    }
  })()
  const answers = await Promise.all([
    ...people.map((person, index) => person.upload(file, { name: `own-${index}.png` })),
    ...people.map(person => person.upload(file, { name: 'same.png' })),
  ])
  over = true
  await reading
  assert.deepEqual([...new Set(answers.map(answer => answer.status))], [200])
  assert.equal((await filesIn(core.directory)).length, 1)
  const names = (await core.admin.ask('GET', '/admin/file/')).body as unknown as { name: string }[]
  assert.deepEqual(
    names.map(({ name }) => name),
    ['own-0.png', 'own-1.png', 'own-2.png', 'own-3.png', 'same.png'],
  )
})

test('of different files uploaded under one name at once, one wins and the others leave nothing', async t => {
  const core = await startCore(t)
  const answers = await Promise.all(
    ['a', 'b', 'c', 'd'].map(content => core.admin.upload(png(content), { name: 'same.png' })),
  )
  assert.deepEqual(answers.map(answer => answer.status).sort(), [200, 400, 400, 400])
  assert.equal((await filesIn(core.directory)).length, 1)
})

test('a content that is deleted and uploaded at once is there when its row is', async t => {
  const core = await startCore(t)
  for (let round = 0; round < 15; round++) {
    await core.admin.upload(png('a'), { name: 'old.png' })
    const [made] = await Promise.all([
      core.admin.upload(png('a'), { name: `new-${round}.png` }),
      core.admin.ask('DELETE', '/admin/file/?name=old.png'),
    ])
    assert.equal((await fetch(core.origin + String(made.body.url))).status, 200)
    await core.admin.ask('DELETE', `/admin/file/?name=new-${round}.png`)
    assert.deepEqual(await filesIn(core.directory), [])
  }
})

test('a client that leaves in mid-upload leaves nothing', async t => {
  const core = await startCore(t)
  const sent = request(`${core.origin}/api/v3/admin/file/`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${core.admin.key}`,
      'content-type': 'multipart/form-data; boundary=x',
      'content-length': '3000000',
    },
  })
  sent.on('error', () => undefined)
  const head = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n\x89PNG\r\n\x1a\n'
  await new Promise(resolve => sent.write(Buffer.from(head, 'latin1'), resolve))
  await new Promise(resolve => sent.write(Buffer.alloc(1_000_000), resolve))
  sent.destroy()
  await new Promise(resolve => sent.once('close', resolve))
  assert.deepEqual((await core.admin.ask('GET', '/admin/file/')).body, [])
  assert.deepEqual(await filesIn(core.directory), [])
  assert.deepEqual(
    core.log.filter(line => line.level === 'error'),
    [],
  )
})

test('a writer killed in the middle leaves whole files, and what it left beside them goes', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'postern-media-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  for (let round = 0; round < 4; round++) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'writer-process.ts'), directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const left = once(child, 'exit')
    let saved = 0
    child.stdout.on('data', () => {
      saved += 1
      if (saved === 2 + round) child.kill('SIGKILL')
    })
    assert.deepEqual(await left, [null, 'SIGKILL'])
  }
  const files = await filesIn(directory)
  const visible = files.filter(isContentAddress)
  assert.ok(visible.length >= 8)
  for (const address of visible)
    assert.equal(contentAddress(await readFile(join(directory, address)), 'png'), address)
  const hidden = files.filter(path => !isContentAddress(path))
  for (const path of hidden) assert.match(path, /^[0-9a-f]{2}\/\.upload-[0-9a-f]{16}\.tmp$/)
})

test('what crashed writers left goes after an hour, what is being written and what is not ours stays', async t => {
  const core = await startCore(t)
  const { body } = await core.admin.upload(png('a'), { name: 'a.png' })
  const address = String(body.url).slice('/media/public/'.length)
  const folder = join(core.directory, 'ab')
  await mkdir(folder, { recursive: true })
  const hourAgo = new Date(Date.now() - 3_700_000)
  for (const name of ['.upload-0123456789abcdef.tmp', 'notes.txt', '.upload-fresh.tmp'])
    await writeFile(join(folder, name), 'x')
  await writeFile(join(folder, '.upload-fedcba9876543210.tmp'), 'x')
  for (const path of ['ab/.upload-0123456789abcdef.tmp', 'ab/notes.txt', 'ab/.upload-fresh.tmp', address])
    await utimes(join(core.directory, path), hourAgo, hourAgo)
  assert.equal(await createMediaStore(core.directory).sweep(), 1)
  assert.deepEqual(
    await filesIn(core.directory),
    ['ab/.upload-fedcba9876543210.tmp', 'ab/.upload-fresh.tmp', 'ab/notes.txt', address].sort(),
  )
})
