// Our own programs as the launcher starts them: how long until ready, how much memory.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PgTarget } from '../src/pg/target.ts'
import { endWithRun } from './left-over.ts'

/** Flags the launcher gives Node. */
export const launcherFlags = ['--max-semi-space-size=4']

const launcher = join(import.meta.dirname, '../bin/postern.js')
const readyMs = 60_000

export interface StartedProgram {
  /** milliseconds from its start until it said that it is ready */
  readonly readyMs: number
  readonly port: number
  /** resident memory, MiB */
  rss(): Promise<number>
  stop(): Promise<void>
}

/** Starts `postern <program>` on free ports and waits until its readiness says yes. @throws Error with what it wrote when it does not */
export async function startProgram(program: string, env: Record<string, string>): Promise<StartedProgram> {
  const [port, metrics] = [await freePort(), await freePort()]
  const child = spawn(process.execPath, [launcher, program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      TMPDIR: process.env.TMPDIR ?? '/tmp',
      AUTHENTIK_LISTEN__HTTP: `127.0.0.1:${port}`,
      AUTHENTIK_LISTEN__HTTPS: '',
      AUTHENTIK_LISTEN__METRICS: `127.0.0.1:${metrics}`,
      ...env,
    },
  })
  endWithRun(child)
  const output = tail(child)
  const startedAt = performance.now()
  while (!(await isReady(metrics))) {
    if (child.exitCode !== null || performance.now() - startedAt > readyMs) {
      await stop(child)
      throw new Error(`${program} did not become ready:\n${output()}`)
    }
    await sleep(5)
  }
  return {
    readyMs: performance.now() - startedAt,
    port,
    rss: async () => {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
    },
    stop: () => stop(child),
  }
}

/** The settings that name a database. */
export function databaseSettings({ hosts, user, password, database }: PgTarget): Record<string, string> {
  return {
    AUTHENTIK_POSTGRESQL__HOST: hosts[0]?.host ?? '',
    AUTHENTIK_POSTGRESQL__PORT: String(hosts[0]?.port ?? 5432),
    AUTHENTIK_POSTGRESQL__USER: user,
    AUTHENTIK_POSTGRESQL__PASSWORD: password,
    AUTHENTIK_POSTGRESQL__NAME: database,
    AUTHENTIK_POSTGRESQL__SSLMODE: 'disable',
  }
}

async function isReady(metrics: number): Promise<boolean> {
  try {
    const answer = await fetch(`http://127.0.0.1:${metrics}/-/health/ready/`)
    await answer.arrayBuffer()
    return answer.ok
  } catch {
    return false // not listening yet
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  await gone
}

/** The last of what the program wrote, for an error message. */
function tail(child: ChildProcess): () => string {
  let text = ''
  const add = (chunk: Buffer) => {
    text = (text + chunk.toString('utf8')).slice(-4000)
  }
  child.stdout?.on('data', add)
  child.stderr?.on('data', add)
  return () => text
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}
