// The default install, as `npm start` makes it: how fast each program is there, how much memory it takes idle, what PostgreSQL notices
// of it, and how many connections a hundred people signing in at once cost. Times and memory are those of a second start.
import { randomBytes } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createBrowser } from '../test/flows/browser.ts'
import { type Backends, createBackendWatch } from './backends.ts'
import type { Bench, BenchContext } from './context.ts'
import { type Emit, judged } from './figure.ts'
import { temporaryFolder } from './left-over.ts'
import { createUser } from './made-users.ts'
import { databaseSettings, type StartedProgram, startProgram } from './started-program.ts'

/** Memory is read this long after ready. */
const idleBeforeMs = 10_000
const watchedMs = 30_000
const logins = 100
const apiToken = randomBytes(30).toString('base64url')
const password = randomBytes(12).toString('base64url')

export const installation: Bench = { name: 'installation', run }

async function run({ postgres, emit }: BenchContext): Promise<void> {
  const folder = await temporaryFolder('install')
  const { target, adminTarget } = await postgres()
  const backends = await createBackendWatch(adminTarget)
  const env = {
    ...databaseSettings(target),
    POSTERN_DATA_DIR: folder,
    AUTHENTIK_BOOTSTRAP_TOKEN: apiToken,
  }
  const open: StartedProgram[] = []
  const start = async (program: string, settings: Record<string, string>) => {
    const started = await startProgram(program, settings)
    open.push(started)
    return started
  }
  try {
    await (await start('start', env)).stop()
    const whole = await start('start', env)
    emit(ready('start', whole))
    await idleFigures(whole, backends, emit)
    await loginFigures(whole, backends, emit)

    // A standalone outpost reads what the installation wrote for it; only its ports are other ones.
    const outpost = { POSTERN_DATA_DIR: folder, AUTHENTIK_OUTPOSTS__SESSION_BACKEND: 'postgres' }
    await (await start('proxy', outpost)).stop()
    const proxy = await start('proxy', outpost)
    emit(ready('proxy', proxy))
    await sleep(idleBeforeMs)
    emit(judged({ name: 'proxy_rss_idle', value: await proxy.rss(), unit: 'MiB', goal: '<= 100' }))
    await proxy.stop()
    await whole.stop()

    const production = {
      ...databaseSettings(target),
      AUTHENTIK_SECRET_KEY: (await readFile(join(folder, 'secret_key'), 'utf8')).trim(),
      POSTERN_BASE_URL: 'http://localhost:9000',
    }
    for (const program of ['server', 'worker']) {
      await (await start(program, production)).stop()
      const second = await start(program, production)
      emit(ready(program, second))
      await sleep(idleBeforeMs)
      const value = await second.rss()
      emit(judged({ name: `${program}_rss_idle`, value, unit: 'MiB', goal: '<= 200' }))
      await second.stop()
    }
  } finally {
    await Promise.all(open.map(one => one.stop()))
    await backends.close()
    await rm(folder, { recursive: true, force: true })
  }
}

function ready(program: string, { readyMs }: StartedProgram) {
  const goal = program === 'proxy' ? '<= 1000' : '<= 2000'
  return judged({ name: `${program}_ready`, value: readyMs, unit: 'ms', goal })
}

async function idleFigures(whole: StartedProgram, backends: Backends, emit: Emit): Promise<void> {
  await sleep(idleBeforeMs)
  emit({ name: 'start_rss_idle', value: Math.round(await whole.rss()), unit: 'MiB' })
  const idle = await backends.during(() => sleep(watchedMs))
  emit(judged({ name: 'idle_backends', value: idle.peak, unit: 'backends', goal: '<= 6' }))
  const perSecond = idle.statements / (watchedMs / 1000)
  emit(judged({ name: 'idle_statements', value: perSecond, unit: '1/s', goal: '<= 5', note: idle.most }))
}

async function loginFigures(whole: StartedProgram, backends: Backends, emit: Emit): Promise<void> {
  const core = `http://localhost:${whole.port}`
  const names = Array.from({ length: logins }, (_, at) => `bench-${at}`)
  await Promise.all(names.map(name => createUser({ core, token: apiToken }, name, password)))
  const began = performance.now()
  const busy = await backends.during(() => Promise.all(names.map((name, at) => signIn(core, name, at))))
  const ms = performance.now() - began
  const note = `${Math.round(ms)} ms, ${(busy.statements / logins).toFixed(1)} statements each`
  emit(judged({ name: 'login_backends_peak', value: busy.peak, unit: 'backends', goal: '<= 19', note }))
}

/** Each comes from an address of its own: attempts that are under way count against the address they come from. */
async function signIn(core: string, name: string, at: number): Promise<void> {
  const flow = 'default-authentication-flow'
  const from = { 'x-forwarded-for': `192.0.2.${at + 1}` }
  const browser = createBrowser(core)
  await browser.get(`/if/flow/${flow}/`, from)
  const body = { component: 'ak-stage-identification', uid_field: name, password }
  const answer = await browser.answer(flow, body, '', from)
  if (answer.component !== 'xak-flow-redirect')
    throw new Error(`a login of the benchmark ended with ${JSON.stringify(answer)}`)
}
