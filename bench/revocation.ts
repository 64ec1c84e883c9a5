// How long a right that was taken away is still good: three outposts and the embedded one, each with the session in its memory, from
// the answer of the act until the last of them refuses. Their lease is the longest there is, so that only the message can be what ended it.
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { acts, createRevocationWalk, quantile } from '../test/e2e/revocation-walk.ts'
import type { Bench, BenchContext } from './context.ts'
import { judged } from './figure.ts'
import { temporaryFolder } from './left-over.ts'
import { revokedSockets } from './revoked-sockets.ts'
import { databaseSettings, type StartedProgram, startProgram } from './started-program.ts'

const repetitions = 25
/** A busy machine measures fewer: each begins with people signing in. */
const mostMs = 25_000
const fewest = 8
const outposts = 3

export const revocation: Bench = { name: 'revocation', run }

async function run({ postgres, emit }: BenchContext): Promise<void> {
  const folder = await temporaryFolder('revocation')
  const { target } = await postgres()
  const token = randomBytes(30).toString('base64url')
  const lease = { POSTERN_DATA_DIR: folder, POSTERN_SESSION_LEASE: '30' }
  const open: StartedProgram[] = []
  const start = async (program: string, env: Record<string, string>) => {
    const started = await startProgram(program, env)
    open.push(started)
    return started.port
  }
  try {
    const port = await start('start', {
      ...databaseSettings(target),
      ...lease,
      AUTHENTIK_BOOTSTRAP_TOKEN: token,
    })
    const standalone = { ...lease, AUTHENTIK_OUTPOSTS__SESSION_BACKEND: 'postgres' }
    const ports = [port]
    while (ports.length <= outposts) ports.unshift(await start('proxy', standalone))
    const core = `http://localhost:${port}`
    const application = `http://demo.localhost:${port}`
    const walk = await createRevocationWalk({ core, token, application, slug: 'demo', ports })
    const all: number[] = []
    for (const act of acts) {
      const refused: number[] = []
      const began = performance.now()
      const inTime = () => performance.now() - began < mostMs
      while (refused.length < fewest || (refused.length < repetitions && inTime()))
        refused.push((await walk.measure(act)).refusedMs)
      all.push(...refused)
      const name = `revocation_p99_${act.replaceAll(' ', '_').replaceAll('-', '_')}`
      emit({ name, value: Math.round(quantile(refused, 0.99)), unit: 'ms', note: spread(refused) })
    }
    await revokedSockets({ core, token, application, ports }, emit)
    const value = quantile(all, 0.99)
    emit(judged({ name: 'revocation_p99', value, unit: 'ms', goal: '<= 250', note: spread(all) }))
  } finally {
    await Promise.all(open.map(one => one.stop()))
    await rm(folder, { recursive: true, force: true })
  }
}

function spread(ms: number[]): string {
  return `p50 ${Math.round(quantile(ms, 0.5))} ms, worst ${Math.round(Math.max(...ms))} ms of ${ms.length}`
}
