// The rules of docs/architecture.md as tests: who may import whom, where settings and SQL may stand, what files are called.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..')
const source = globSync('src/**/*.ts', { cwd: root }).sort()
const product = source.filter(file => !file.endsWith('.test.ts'))
const everything = globSync('{src,test,scripts,bench,web,examples}/**/*.{ts,tsx,js,mjs}', {
  cwd: root,
  exclude: ['**/node_modules/**', '**/dist/**'],
}).sort()

/** The composition of the programs: it may import all, and alone imports settings. */
const composition = ['main', 'programs']
/** Which rooms each other room may import; its own always, and `version`, which is one constant. */
const mayImport: Record<string, readonly string[]> = {
  log: [],
  version: [],
  settings: ['log'],
  wire: [],
  pg: ['log'],
  http: ['log'],
  deploy: ['wire', 'log'],
  proxy: ['pg', 'http', 'wire', 'log'],
  rac: ['pg', 'http', 'wire', 'log'],
  core: ['pg', 'http', 'wire', 'deploy', 'log'],
}
const maxLines = 300

/** `src/pg/pool.ts` is in room `pg`, `src/settings.ts` and `src/settings/…` in `settings`. */
function roomOf(file: string): string {
  return (file.split('/')[1] ?? '').replace(/\.ts$/, '')
}

interface Import {
  from: string
  /** erased before the program runs */
  typeOnly: boolean
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8')
  const statements = text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]/gm)
  const dynamic = text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g)
  return [
    ...[...statements].map(([, type, from = '']) => ({ from, typeOnly: type !== undefined })),
    ...[...dynamic].map(([, from = '']) => ({ from, typeOnly: false })),
  ]
}

/** Path of an imported file of ours, or undefined for packages and built-ins. */
function targetOf(file: string, { from }: Import): string | undefined {
  return from.startsWith('.') ? normalize(join(dirname(file), from)) : undefined
}

test('the rules see the code: imports are found', () => {
  assert.ok(product.length > 20)
  const found = importsOf('src/settings.ts').map(one => one.from)
  assert.ok(found.includes('node:fs') && found.includes('./log.ts') && found.includes('./settings/parse.ts'))
})

test('each room imports only the rooms it may', () => {
  const wrong: string[] = []
  for (const file of source) {
    const room = roomOf(file)
    if (composition.includes(room)) continue
    const allowed = mayImport[room]?.concat(room, 'version')
    if (allowed === undefined) {
      wrong.push(`${file}: "${room}" is no room`)
      continue
    }
    for (const one of importsOf(file)) {
      const target = targetOf(file, one)
      if (target === undefined) continue
      // A unit test may use what the tests share.
      if (file.endsWith('.test.ts') && target.startsWith('test/')) continue
      if (!target.startsWith('src/')) wrong.push(`${file} imports ${target}, outside src`)
      else if (!allowed.includes(roomOf(target))) wrong.push(`${file} imports ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('an outpost loads neither the query builder nor the API framework nor its schemas', () => {
  const tooHeavy = /^(?:kysely|fastify|typebox|pg-boss|@fastify\/.*|@sinclair\/typebox)(?:\/|$)/
  const loaded = new Map<string, string>()
  const queue = product.filter(file => roomOf(file) === 'proxy').map(file => ({ file, by: file }))
  const wrong: string[] = []
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { file, by } = next
    if (loaded.has(file)) continue
    loaded.set(file, by)
    for (const one of importsOf(file).filter(({ typeOnly }) => !typeOnly)) {
      const target = targetOf(file, one)
      if (target?.startsWith('src/')) queue.push({ file: target, by: file })
      else if (tooHeavy.test(one.from)) wrong.push(`${file} (loaded by ${by}) imports ${one.from}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('only settings and main read the environment', () => {
  const readers = product.filter(
    file =>
      !['settings', 'main'].includes(roomOf(file)) &&
      /\bprocess\.env\b|\benv\s*}\s*=\s*process\b/.test(text(file)),
  )
  assert.deepEqual(readers, [])
})

test('SQL stands only in *.sql.ts files and in src/pg', () => {
  const statement =
    /^\s*(?:select\b[\s\S]*\bfrom\b|insert\s+into\b|update\s+[\s\S]*?\bset\b|delete\s+from\b|(?:create|alter|drop)\s+(?:table|index|schema)\b|with\s+\w+\s+as\s*(?:materialized\s*)?\()/i
  const wrong = product
    .filter(file => roomOf(file) !== 'pg' && !file.endsWith('.sql.ts'))
    .filter(file => literalsOf(text(file)).some(literal => statement.test(literal)))
  assert.deepEqual(wrong, [])
})

test('the SQL rule sees every literal and no comment', () => {
  const code = "a('x') + `b 'c' d` // it's\n/* 'y' */ \"z\""
  assert.deepEqual(literalsOf(code), ['x', "b 'c' d", 'z'])
})

test('no file has a name that says nothing', () => {
  const empty = /^(?:utils?|helpers?|common|types|index|manager|misc|shared-utils)$/
  const wrong = everything.filter(file =>
    file
      .split('/')
      .some(part => empty.test(basename(part).replace(/\.(?:test|sql)?\.?(?:ts|tsx|js|mjs)$/, ''))),
  )
  assert.deepEqual(wrong, [])
})

test('names of files are kebab-case', () => {
  const wrong = product.filter(file => !/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.sql)?\.ts$/.test(basename(file)))
  assert.deepEqual(wrong, [])
})

test('there are no default exports', () => {
  const wrong = everything.filter(file => /^export default\b|^export \{[^}]*\bas default\b/m.test(text(file)))
  assert.deepEqual(
    wrong.filter(file => basename(file) !== 'vite.config.ts'),
    [],
  )
})

test(`no file is longer than ${maxLines} lines`, () => {
  const long = everything
    .map(file => ({ file, lines: text(file).split('\n').length - 1 }))
    .filter(({ lines }) => lines > maxLines)
  assert.deepEqual(long, [])
})

test('every package that runs in production has its line in docs/dependencies.md, and no line is left over', () => {
  const { dependencies, optionalDependencies } = JSON.parse(text('package.json'))
  const names = Object.keys({ ...dependencies, ...optionalDependencies }).sort()
  const documented = [...text('docs/dependencies.md').matchAll(/^\| `([^`]+)` \|/gm)]
    .map(([, name]) => name)
    .sort()
  assert.deepEqual(documented, names)
})

function text(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

/** Contents of the string and template literals of a program, comments left out; nested templates count as part of the outer one. */
function literalsOf(code: string): string[] {
  const tokens = code.matchAll(
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\[\s\S])*)`/g,
  )
  return [...tokens].flatMap(([, single, double, template]) => single ?? double ?? template ?? [])
}
