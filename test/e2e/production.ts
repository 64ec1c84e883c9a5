// The programs of a production installation on a PostgreSQL of the test: `server`, `worker`, `proxy`, configured by environment only.
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PgTarget } from '../../src/pg/target.ts'
import { directOf } from '../pg/straight.ts'
import { type Program, startProgram } from '../programs.ts'
import { freePort } from './installation.ts'

export type Environment = Record<string, string>

/** What every program of one installation is given. */
export interface Site {
  /** database, secret key, base URL, bootstrap values */
  env: Environment
  /** of Core, e.g. `http://localhost:40123` */
  coreUrl: string
  password: string
  /** API token of `akadmin` */
  token: string
}

/** Settings of an installation in that database; Core's public port is chosen here. */
export async function describeSite(target: PgTarget): Promise<Site> {
  const coreUrl = `http://localhost:${await freePort()}`
  const password = randomBytes(12).toString('base64url')
  const token = randomBytes(30).toString('base64url')
  return {
    coreUrl,
    password,
    token,
    env: {
      ...databaseEnv(target),
      AUTHENTIK_SECRET_KEY: randomBytes(48).toString('base64'),
      POSTERN_BASE_URL: coreUrl,
      AUTHENTIK_BOOTSTRAP_PASSWORD: password,
      AUTHENTIK_BOOTSTRAP_TOKEN: token,
      AUTHENTIK_BOOTSTRAP_EMAIL: 'root@example.com',
    },
  }
}

/** A target as the environment of a program says it. */
export function databaseEnv(target: PgTarget): Environment {
  const { hosts, user, password, database } = target
  const [itself] = directOf(target).hosts
  return {
    ...(itself === hosts[0]
      ? {}
      : {
          AUTHENTIK_POSTGRESQL__DIRECT__HOST: itself?.host ?? '',
          AUTHENTIK_POSTGRESQL__DIRECT__PORT: String(itself?.port),
        }),
    AUTHENTIK_POSTGRESQL__HOST: hosts.map(({ host }) => host).join(','),
    AUTHENTIK_POSTGRESQL__PORT: hosts.map(({ port }) => port).join(','),
    AUTHENTIK_POSTGRESQL__USER: user,
    AUTHENTIK_POSTGRESQL__PASSWORD: password,
    AUTHENTIK_POSTGRESQL__NAME: database,
  }
}

/** Listen addresses on the loopback interface: the port given or a free one, metrics on a free one, no TLS. */
export async function listenEnv(port?: number): Promise<Environment> {
  return {
    AUTHENTIK_LISTEN__HTTP: `127.0.0.1:${port ?? (await freePort())}`,
    AUTHENTIK_LISTEN__HTTPS: '',
    AUTHENTIK_LISTEN__METRICS: `127.0.0.1:${await freePort()}`,
  }
}

export interface Service {
  program: Program
  /** of its main listener, by number */
  url: string
  metricsUrl: string
  env: Environment
}

const readyLine = {
  server: /"event":"server is ready"/,
  worker: /"event":"worker is ready"/,
  proxy: /"event":"outpost is ready"/,
}

/** Starts a program and waits until it says that it is ready. @param options.port of its main listener */
export async function startService(
  t: TestContext,
  name: keyof typeof readyLine,
  env: Environment,
  options: { port?: number } = {},
): Promise<Service> {
  const all = { ...(await listenEnv(options.port)), ...env }
  const program = startProgram(t, [name], all)
  await program.matches(readyLine[name])
  const metricsUrl = `http://${all.AUTHENTIK_LISTEN__METRICS}`
  return { program, env: all, url: `http://${all.AUTHENTIK_LISTEN__HTTP}`, metricsUrl }
}

/** Resolves once `condition` holds. @throws Error with what was waited for */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`${what}: still not so after ${timeoutMs} ms`)
    await sleep(10)
  }
}

/** Whether something listens there. */
export function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
