// A whole installation for end-to-end tests: `npm start` in a data directory of its own, and standalone outposts beside it.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Program, startProgram } from '../programs.ts'

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
  options: { dataDirectory?: string; env?: Record<string, string> } = {},
): Promise<Installation> {
  const dataDirectory = options.dataDirectory ?? (await temporaryFolder(t))
  const port = options.env?.AUTHENTIK_LISTEN__HTTP?.split(':')[1] ?? String(await freePort())
  const env = {
    POSTERN_DATA_DIR: dataDirectory,
    AUTHENTIK_LISTEN__HTTP: `127.0.0.1:${port}`,
    AUTHENTIK_LISTEN__HTTPS: '',
    AUTHENTIK_LISTEN__METRICS: `127.0.0.1:${await freePort()}`,
    ...options.env,
  }
  const program = startProgram(t, ['start'], env)
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

/** A folder that is deleted with the test; what the embedded PostgreSQL keeps elsewhere for it goes too. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-e2e-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}
