// A transaction pooler may stand in front of everything but the direct connection: whatever would keep something in a session is not written.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')

/** What keeps something in a session, and the files that have a session of their own for it. */
const rules: { what: string; pattern: RegExp; allowed: string[] }[] = [
  {
    what: 'a lock of the session',
    pattern: /pg_(?:try_)?advisory_(?:un)?lock(?:_shared)?\s*\(/i,
    allowed: ['src/pg/migrate-lock.ts', 'src/pg/doctor/sessions.ts'],
  },
  {
    what: 'LISTEN',
    pattern: /[`'"](?:un)?listen [$"a-z*]/i,
    allowed: ['src/pg/direct.ts', 'src/pg/doctor/sessions.ts'],
  },
  {
    what: 'SET of the session',
    pattern: /[`'";]\s*set (?:session )?(?!local|transaction)[a-z_.]+ (?:=|to) ['\d$]/,
    allowed: ['src/pg/migrate-lock.ts'],
  },
  { what: 'a temporary table', pattern: /create (?:local |global )?temp(?:orary)? /i, allowed: [] },
  { what: 'a cursor', pattern: /declare \S+ (?:no scroll |scroll )?cursor/i, allowed: [] },
  { what: 'a prepared statement', pattern: /[`'"]\s*prepare [a-z]|\.query\(\s*\{[^}]*\bname:/i, allowed: [] },
  { what: 'the search path', pattern: /set (?:local )?search_path|\.set\(['"]search_path/i, allowed: [] },
]

test('no statement keeps anything in a session, but for those of the direct connection and of migrations', () => {
  const files = globSync('src/**/*.ts', { cwd: root }).filter(file => !file.endsWith('.test.ts'))
  assert.ok(files.length > 100)
  const wrong: string[] = []
  const used = new Set<string>()
  for (const file of files) {
    const text = readFileSync(join(root, file), 'utf8').replace(/^\s*(?:\/\/|\*|\/\*\*).*$/gm, '')
    for (const { what, pattern, allowed } of rules) {
      if (!pattern.test(text)) continue
      if (allowed.includes(file)) used.add(`${file}: ${what}`)
      else wrong.push(`${file}: ${what}`)
    }
  }
  assert.deepEqual(wrong, [])
  // The patterns find what they look for.
  assert.deepEqual(
    [...used].sort(),
    rules.flatMap(({ what, allowed }) => allowed.map(file => `${file}: ${what}`)).sort(),
  )
})

test('no migration sets anything for a session either', () => {
  for (const file of globSync('migrations/*.sql', { cwd: root })) {
    const text = readFileSync(join(root, file), 'utf8').replace(/^--.*$/gm, '')
    assert.doesNotMatch(text, /^\s*(?:set (?!local)|listen |create temp)/im, file)
  }
})
