// `npm test`: all tests, or those named (`npm test -- test/pg src/http/cookies.test.ts --test-name-pattern=drain`). One PostgreSQL
// serves the whole run; each test file makes its own databases in it.
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, globSync, statSync } from 'node:fs'
import { delimiter, join, relative } from 'node:path'
import { ensureWebBuilt } from '../web/build.ts'

const root = join(import.meta.dirname, '..')
/** Files at a time. CI runs on shared machines of two cores: there one has them to itself, and the programs it starts. */
const concurrency = process.env.CI === 'true' ? 1 : 2
const timeoutMs = 300_000

/** Programs some tests need beyond npm: what is looked for, and Debian's package of it. */
const tools = [
  { names: ['chromium', 'chromium-browser', 'google-chrome'], debian: 'chromium' },
  { names: ['nginx'], debian: 'nginx-light' },
  { names: ['caddy'], debian: 'caddy' },
  { names: ['haproxy'], debian: 'haproxy' },
  { names: ['openssl'], debian: 'openssl' },
  { names: ['pgbouncer'], debian: 'pgbouncer' },
  { names: ['pg_restore'], debian: 'postgresql' },
]

if (process.argv[2] === '--serve-postgres') await servePostgres()
else process.exitCode = await runTests(process.argv.slice(2))

async function runTests(args: string[]): Promise<number> {
  const options = args.filter(arg => arg.startsWith('-'))
  const places = args.filter(arg => !arg.startsWith('-'))
  if (!toolsAreThere(places.length === 0)) return 1
  const files = testFiles(places)
  if (files.length === 0) {
    process.stderr.write(`no test files in ${places.join(', ')}\n`)
    return 1
  }
  // Programs that are started as in production serve the pages that are there.
  await ensureWebBuilt({ log: { info: say, warning: say } })
  // ^C reaches the test processes by itself; this process stays to stop PostgreSQL after them.
  process.on('SIGINT', () => {})
  const postgres = await startPostgres()
  if (postgres === undefined) return 1
  try {
    return await runner(options, files, postgres.env)
  } finally {
    postgres.child.disconnect()
    if (postgres.child.exitCode === null) await once(postgres.child, 'exit')
  }
}

function runner(options: string[], files: string[], postgres: string): Promise<number> {
  const flags = [
    '--test',
    '--test-reporter=spec',
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${timeoutMs}`,
  ]
  const child = spawn(process.execPath, [...flags, ...options, ...files], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH ?? ''}`,
      POSTERN_TEST_POSTGRES: postgres,
    },
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', code => resolve(code ?? 1))
  })
}

function say(event: string): void {
  process.stderr.write(`${event}\n`)
}

/** All test files, or those in the folders and files named. */
function testFiles(places: string[]): string[] {
  const patterns =
    places.length === 0 ? ['src', 'test', 'web'] : places.map(place => relative(root, join(root, place)))
  const files = patterns.flatMap(place => {
    const isFolder = statSync(join(root, place), { throwIfNoEntry: false })?.isDirectory() === true
    return globSync(isFolder ? `${place}/**/*.test.ts` : place, {
      cwd: root,
      exclude: ['**/node_modules/**'],
    })
  })
  return [...new Set(files)].sort()
}

/** Says what to install. @returns false when that fails the run: everything is to be tested and this is CI */
function toolsAreThere(everything: boolean): boolean {
  const missing = tools.filter(({ names }) => !names.some(isOnPath))
  if (missing.length === 0 || !everything) return true
  const packages = missing.map(({ debian }) => debian).join(' ')
  const isCi = process.env.CI === 'true'
  const consequence = isCi ? 'The run ends here' : 'Tests that need them will say so'
  process.stderr.write(
    `Missing for some tests: ${missing.map(({ names }) => names[0]).join(', ')}. ${consequence}. On Debian:\n` +
      `  apt-get install -y --no-install-recommends ${packages}\n`,
  )
  return !isCi
}

function isOnPath(name: string): boolean {
  const debian = ['/usr/sbin', '/usr/local/sbin', ...globSync('/usr/lib/postgresql/*/bin')]
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...debian]
  return folders.some(folder => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** In a process of its own: the test harness registers hooks with node:test, which would take this process for a test. */
async function startPostgres(): Promise<{ env: string; child: ChildProcess } | undefined> {
  const child = fork(import.meta.filename, ['--serve-postgres'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    execArgv: [],
  })
  const env = await new Promise<string | undefined>(resolve => {
    child.once('message', message => resolve(String(message)))
    child.once('exit', () => resolve(undefined))
    child.once('error', () => resolve(undefined))
  })
  if (env !== undefined) return { env, child }
  process.stderr.write('the PostgreSQL of the tests did not start; the lines above say why\n')
  return undefined
}

async function servePostgres(): Promise<void> {
  process.on('SIGINT', () => {})
  const { startTestServer } = await import('./postgres.ts')
  const ended = once(process, 'disconnect')
  const server = await startTestServer().catch(error => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  })
  process.send?.(server.env)
  await ended
  await server.stop()
}
