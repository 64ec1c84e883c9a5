import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** Where the build says what it did; Postern's loggers fit. */
export interface BuildLog {
  info(event: string, fields?: Record<string, unknown>): void
  warning(event: string): void
}

const web = dirname(fileURLToPath(import.meta.url))
const root = dirname(web)
const cache = join(root, 'node_modules/.cache')
/** Folder of the built pages; served under `/static/dist/`. */
export const webDist = join(web, 'dist')
// Lies in the output and says from which sources it was made. Times would not survive a clone or an image.
const stamp = '.vite/sources'

/**
 * Makes sure `web/dist` holds the pages built from the present sources, building them where it does not. Several
 * processes may call it at once; one builds, the others wait.
 * @param dist folder of the output, on the file system of `node_modules`
 * @throws Error with one line saying what to do, when the pages are missing and cannot be built
 */
export async function ensureWebBuilt({
  log,
  dist = webDist,
}: {
  log: BuildLog
  dist?: string
}): Promise<void> {
  const wanted = await sourcesHash()
  if ((await builtFrom(dist)) === wanted) return
  const vite = findVite()
  if (vite === undefined) {
    if ((await builtFrom(dist)) === undefined) {
      throw new Error(
        'web/dist is missing and Vite is not installed: run `npm ci` with development packages, or bring a built web/dist along',
      )
    }
    log.warning('web/dist was built from other sources, and Vite is not installed to build it anew')
    return
  }
  await using _ = await takeBuildLock()
  if ((await builtFrom(dist)) === wanted) return
  const began = Date.now()
  await build(vite, wanted, dist)
  log.info('built the web pages', { ms: Date.now() - began })
}

/** Hash of everything the output depends on, names included. */
async function sourcesHash(): Promise<string> {
  const names = await readdir(web, { recursive: true, withFileTypes: true })
  const files = names
    .filter(entry => entry.isFile() && !entry.name.endsWith('.test.ts'))
    .map(entry => join(entry.parentPath, entry.name))
    .filter(
      file => !/^(dist|dev|build\.ts|tsconfig\.json)(\/|$)/.test(relative(web, file).replaceAll('\\', '/')),
    )
  const hash = createHash('sha256')
  for (const file of [...files, join(root, 'package-lock.json')].sort()) {
    hash
      .update(`${relative(root, file)}\0`)
      .update(await readFile(file).catch(() => ''))
      .update('\0')
  }
  return hash.digest('hex')
}

/** Hash of the sources the present output was made from; undefined when there is no output. */
async function builtFrom(dist: string): Promise<string | undefined> {
  return await readFile(join(dist, stamp), 'utf8').catch(() => undefined)
}

function findVite(): string | undefined {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('vite/package.json')), 'bin/vite.js')
  } catch {
    return undefined
  }
}

/** Builds beside the output and swaps, so that a failed build leaves what was there. In a process of its own: it needs memory. */
async function build(vite: string, sources: string, dist: string): Promise<void> {
  const fresh = join(cache, `web-${process.pid}`)
  const old = join(cache, `web-${process.pid}-old`)
  try {
    await run([vite, 'build', web, '--outDir', fresh, '--configLoader', 'native', '--logLevel', 'warn'])
    await writeFile(join(fresh, stamp), sources)
    await rename(dist, old).catch(absent)
    await rename(fresh, dist)
  } finally {
    await rm(fresh, { recursive: true, force: true })
    await rm(old, { recursive: true, force: true })
  }
}

async function run(args: string[]): Promise<void> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const { promise, resolve, reject } = Promise.withResolvers<number | null>()
  child.once('error', reject)
  child.once('close', resolve)
  const code = await promise
  if (code !== 0)
    throw new Error(`the web pages cannot be built: ${output.trim() || `Vite ended with ${code}`}`)
}

/** A lock file with the holder's pid; one whose holder is gone is taken over. */
async function takeBuildLock(): Promise<AsyncDisposable> {
  await mkdir(cache, { recursive: true }).catch(notWritable)
  const file = join(cache, 'web-build.lock')
  for (;;) {
    const handle = await open(file, 'wx').catch((error: NodeJS.ErrnoException) =>
      error.code === 'EEXIST' ? undefined : notWritable(error),
    )
    if (handle !== undefined) {
      await handle.writeFile(String(process.pid))
      await handle.close()
      return { [Symbol.asyncDispose]: () => rm(file, { force: true }) }
    }
    const holder = Number(await readFile(file, 'utf8').catch(() => '0'))
    // An empty file belongs to somebody who is just writing their pid.
    if (holder > 0 && !alive(holder)) await rm(file, { force: true })
    else await delay(100)
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function absent(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

function notWritable(error: NodeJS.ErrnoException): never {
  throw new Error(
    `the web pages must be built, and ${cache} cannot be written: ${error.code ?? error.message}`,
    {
      cause: error,
    },
  )
}
