// docs/advisories.md and the tests say the same.
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const number = /CVE-\d{4}-\d{4,6}|GHSA(?:-[0-9a-z]{4}){3}/g

interface Row {
  advisory: string
  files: string[]
  heldBy: string
}

function rows(): Row[] {
  const found = [
    ...read('docs/advisories.md').matchAll(/^\| ((?:CVE|GHSA)-[^ |]+) \| [^|]+ \| ([^|]+) \|$/gm),
  ]
  return found.map(([, advisory = '', heldBy = '']) => ({ advisory, heldBy, files: filesIn(heldBy) }))
}

function filesIn(text: string): string[] {
  return [...text.matchAll(/`([^`]+\.test\.ts)`/g)].map(([, file = '']) => file)
}

/** Numbers with which titles of tests in the file begin, before the colon. */
function numbersOf(file: string): Set<string> {
  const titles = read(file).matchAll(/\btest\(\s*(['"])((?:CVE|GHSA)-.*?): /g)
  return new Set([...titles].flatMap(([, , numbers = '']) => numbers.match(number) ?? []))
}

test('every advisory of the table is held by a test whose title begins with its number, or does not apply', () => {
  assert.ok(rows().length > 50, `${rows().length} rows`)
  for (const { advisory, files, heldBy } of rows()) {
    assert.match(advisory, new RegExp(`^(?:${number.source})$`))
    if (files.length === 0) assert.match(heldBy, /^does not apply: \w/, advisory)
    for (const file of files) assert.ok(numbersOf(file).has(advisory), `${advisory} is no title in ${file}`)
  }
})

test('every test that carries a number has its row', () => {
  const listed = new Map(rows().map(row => [row.advisory, row.files]))
  assert.equal(listed.size, rows().length, 'no advisory has two rows')
  const files = globSync('{src,test}/**/*.test.ts', { cwd: root })
  const missing = files.flatMap(file =>
    [...numbersOf(file)]
      .filter(advisory => listed.get(advisory)?.includes(file) !== true)
      .map(one => `${one} ${file}`),
  )
  assert.deepEqual(missing, [])
})

test('every file the document names is there', () => {
  const files = filesIn(read('docs/advisories.md'))
  assert.ok(files.length > 60)
  assert.deepEqual(
    files.filter(file => !existsSync(join(root, file))),
    [],
  )
})
