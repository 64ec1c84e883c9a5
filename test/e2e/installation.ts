// A whole installation for end-to-end tests: `npm start` in a data directory of its own, and standalone outposts beside it.
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { endPrograms, type Program, type ProgramOptions, startProgram } from '../programs.ts'

export interface Installation {
  dataDirectory: string
  coreUrl: string
  demoUrl: string
  password: string
  program: Program
  /** what the program was started with */
  env: Record<string, string>
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

/** Starts `postern start` and waits for its banner. */
export async function startInstallation(
  t: TestContext,
  {
    env: given,
    dataDirectory: folder,
    ...options
  }: ProgramOptions & { dataDirectory?: string; env?: Record<string, string> } = {},
): Promise<Installation> {
  const dataDirectory = folder ?? (await temporaryFolder(t))
  const port = given?.AUTHENTIK_LISTEN__HTTP?.split(':')[1] ?? String(await freePort())
  const env = {
    POSTERN_DATA_DIR: dataDirectory,
    AUTHENTIK_LISTEN__HTTP: `127.0.0.1:${port}`,
    AUTHENTIK_LISTEN__HTTPS: '',
    AUTHENTIK_LISTEN__METRICS: `127.0.0.1:${await freePort()}`,
    ...given,
  }
  const program = startProgram(t, ['start'], env, options)
  await program.matches(/Postern is running\.[\s\S]*Ctrl-C stops it/, 120_000)
  return {
    dataDirectory,
    coreUrl: `http://localhost:${port}`,
    demoUrl: `http://demo.localhost:${port}`,
    password: (await readFile(join(dataDirectory, 'admin-password'), 'utf8')).trim(),
    program,
    env,
  }
}

export interface StandaloneOutpost {
  url: string
  metricsUrl: string
  program: Program
}

/** Starts `postern proxy` with the installation's proxy.env and waits until it serves. */
export async function startOutpost(
  t: TestContext,
  installation: Installation,
  options: { port?: number; env?: Record<string, string> } = {},
): Promise<StandaloneOutpost> {
  const port = options.port ?? (await freePort())
  const metrics = await freePort()
  const program = startProgram(t, ['proxy'], {
    POSTERN_DATA_DIR: installation.dataDirectory,
    AUTHENTIK_LISTEN__HTTP: `127.0.0.1:${port}`,
    AUTHENTIK_LISTEN__METRICS: `127.0.0.1:${metrics}`,
    ...options.env,
  })
  await program.matches(/"event":"outpost is ready"/)
  return { url: `http://demo.localhost:${port}`, metricsUrl: `http://127.0.0.1:${metrics}`, program }
}

/** A data directory that is deleted with the test, after its programs ended; what PostgreSQL keeps elsewhere for it goes too. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'postern-e2e-')))
  t.after(async () => {
    await endPrograms(t)
    await removeInstallation(folder)
  })
  return folder
}

/** Deletes a data directory with all that belongs to it; a server that a killed program left running is stopped. */
export async function removeInstallation(dataDirectory: string): Promise<void> {
  const { away, socket } = placesOf(dataDirectory)
  const pid = await postgresPid(dataDirectory)
  if (pid !== undefined) process.kill(pid, 'SIGINT')
  while (pid !== undefined && isAlive(pid)) await sleep(20)
  for (const folder of [dataDirectory, away, socket]) await rm(folder, { recursive: true, force: true })
}

/** Process of the installation's PostgreSQL, undefined when none runs. */
export async function postgresPid(dataDirectory: string): Promise<number | undefined> {
  for (const home of [dataDirectory, placesOf(dataDirectory).away]) {
    const file = join(home, 'postgres/data/postmaster.pid')
    const pid = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10)
    if (pid > 0 && isAlive(pid)) return pid
  }
  return undefined
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Where else an installation keeps things: the cluster of one that root started, and the socket. */
function placesOf(dataDirectory: string): { away: string; socket: string } {
  const hash = createHash('sha256').update(dataDirectory).digest('hex')
  return { away: `/var/lib/postern/${hash.slice(0, 16)}`, socket: `/tmp/postern-${hash.slice(0, 8)}` }
}
