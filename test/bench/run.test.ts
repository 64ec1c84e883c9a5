import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkout } from '../checkout.ts'
import { eventually } from '../pg/eventually.ts'

test('a run of the benchmarks that is told to end leaves no server and no folder', {
  timeout: 120_000,
}, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-run-'))
  await chmod(folder, 0o755)
  const child = spawn(process.execPath, [join(checkout, 'bench/run.ts'), 'coordination'], {
    stdio: 'ignore',
    env: { ...process.env, TMPDIR: folder },
  })
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await rm(folder, { recursive: true, force: true })
  })
  const files = () => readdir(folder, { recursive: true }).catch(() => [])
  await eventually(async () => (await files()).some(name => name.endsWith('postmaster.pid')), 60_000)
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  assert.deepEqual(await gone, [143, null])
  assert.deepEqual(await readdir(folder), [])
})
