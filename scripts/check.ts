// `npm run check`: types, format and lint, generated documents. Runs all of them, then fails if one did.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { staleDocs } from './docs.ts'

const root = join(import.meta.dirname, '..')

const outcomes: { name: string; ok: boolean }[] = [
  { name: 'types', ok: await run('tsc', ['--noEmit', '-p', '.']) },
  ...(existsSync(join(root, 'web/tsconfig.json'))
    ? [{ name: 'types of web/', ok: await run('tsc', ['--noEmit', '-p', 'web']) }]
    : []),
  { name: 'format and lint', ok: await run('biome', ['check', '.']) },
  { name: 'generated documents', ok: await docsAreCurrent() },
]

for (const { name, ok } of outcomes) process.stdout.write(`${ok ? 'ok    ' : 'FAILED'} ${name}\n`)
process.exitCode = outcomes.every(({ ok }) => ok) ? 0 : 1

function run(tool: string, args: string[]): Promise<boolean> {
  const path = join(root, 'node_modules/.bin', tool)
  return new Promise(resolve => {
    const child = spawn(path, args, { cwd: root, stdio: 'inherit' })
    child.on('error', error => {
      process.stdout.write(`${tool} cannot be started (${error.message}): run npm ci\n`)
      resolve(false)
    })
    child.on('exit', code => resolve(code === 0))
  })
}

async function docsAreCurrent(): Promise<boolean> {
  const stale = await staleDocs()
  for (const file of stale) process.stdout.write(`${file} is not current: run npm run docs\n`)
  return stale.length === 0
}
