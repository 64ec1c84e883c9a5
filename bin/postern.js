#!/usr/bin/env node
// The launcher behind every program and script (plain JavaScript, so that an old Node can at least read it).
// It finds Node 24, then becomes it: small young generation (memory budget), compile cache (start-up budget).
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const flags = ['--max-semi-space-size=4']
const [first, ...rest] = process.argv.slice(2)
// `--run file.ts …` starts a script of the repository (tests, benchmarks, generators) instead of a program.
const entry =
  first === '--run'
    ? [resolve(root, rest[0] ?? ''), ...rest.slice(1)]
    : [join(root, 'src/main.ts'), ...(first === undefined ? [] : [first, ...rest])]

/** Major version of a "v24.1.0" text. */
function major(version) {
  return Number.parseInt(version.replace(/^v/, ''), 10)
}

/** Absolute path of a Node ≥ 24, or undefined. */
function findNode() {
  if (major(process.version) >= 24) return process.execPath
  const bundled = join(root, 'node_modules/.bin/node')
  return existsSync(bundled) ? bundled : undefined
}

const node = findNode()
if (node === undefined) {
  process.stderr.write(
    `Postern needs Node.js 24 or newer; this is ${process.version}.\n` +
      'On Linux x64 `npm ci` brings it along; elsewhere install Node.js 24 and put it on PATH.\n',
  )
  process.exit(1)
}

const env = { ...process.env }
if (env.NODE_COMPILE_CACHE === undefined) {
  const cache = join(root, 'node_modules/.cache/compile')
  env.NODE_COMPILE_CACHE = cache
}
// glibc gives every thread an arena of its own; one arena keeps 15 MB of a loaded outpost.
env.MALLOC_ARENA_MAX ??= '1'
const args = [...flags, ...entry]

if (node === process.execPath && alreadyTuned()) {
  process.argv.splice(1, process.argv.length - 1, ...entry)
  await import(pathToFileURL(entry[0]).href)
} else if (typeof process.execve === 'function') {
  process.removeAllListeners('warning')
  process.on('warning', () => {})
  process.execve(node, [node, ...args], env)
} else {
  runAsChild(node, args, env)
}

/** True when this process was itself started with the flags, so that nothing needs to be replaced. */
function alreadyTuned() {
  return (
    flags.every(flag => process.execArgv.includes(flag)) &&
    process.env.NODE_COMPILE_CACHE !== undefined &&
    process.env.MALLOC_ARENA_MAX !== undefined
  )
}

/** Node below 22.15 cannot replace itself: run a child, pass signals on, end as it ends. */
function runAsChild(command, childArgs, childEnv) {
  const child = spawn(command, childArgs, { stdio: 'inherit', env: childEnv })
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'])
    process.on(signal, () => child.kill(signal))
  process.on('SIGINT', () => {}) // the terminal sends ^C to the child as well
  child.on('error', error => {
    process.stderr.write(`cannot start ${command}: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal !== null) {
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    } else process.exit(code ?? 1)
  })
}
