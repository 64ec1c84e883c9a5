// docs/promises.md, docs/advisories.md and docs/numbers.md name tests that exist, and the promises are all there.
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')

interface Row {
  cells: string[]
  held: { file: string; title: string }[]
}

/** Rows whose last cell names tests as "`file`: title", several parted by `<br>`. */
function rows(document: string): Row[] {
  const lines = document.split('\n').filter(line => /^\| /.test(line) && line.includes('`: '))
  return lines.map(line => {
    const cells = line
      .slice(1, -1)
      .split('|')
      .map(cell => cell.trim())
    const held = (cells.at(-1) ?? '').split('<br>').map(one => {
      const [, file, title] = /^`([^`]+\.test\.ts)`: (.+)$/.exec(one) ?? []
      assert.ok(file && title, `"${one}" is not a file and a title`)
      return { file, title }
    })
    return { cells, held }
  })
}

/** What matches the titles of the tests of a file, and of the files of ours that it calls to register some. */
function titlesOf(file: string): RegExp[] {
  const text = read(file)
  const shared = [...text.matchAll(/from '(\.[^']+)'/g)]
    .map(([, path = '']) => join(dirname(file), path))
    .filter(path => /^test\/.*(?<!\.test)\.ts$/.test(path) && /^ +test\(/m.test(read(path)))
  return [file, ...shared].flatMap(one => titlesIn(read(one)))
}

function titlesIn(text: string): RegExp[] {
  const found = text.matchAll(/^ *(?:await )?(?:t\.)?test\(\s*(['"`])((?:\\.|(?!\1)[^\\\n])*)\1/gm)
  return [...found].map(([, , title = '']) => {
    const plain = title.replaceAll(/\\(.)/g, '$1')
    const parts = plain.split(/\$\{[^}]+\}/).map(part => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    return new RegExp(`^${parts.join('.+')}$`)
  })
}

test('each promise is held by tests that exist, by file and title', () => {
  assert.deepEqual(missing(rows(read('docs/promises.md')).flatMap(({ held }) => held)), [])
})

test('each number is held by tests and figures of benchmarks that exist', () => {
  const lines = read('docs/numbers.md')
    .split('\n')
    .filter(line => /^\| (?!Promised)/.test(line))
  const held = lines.flatMap(line => (line.slice(1, -1).split(' | ').at(-1) ?? '').trim().split('<br>'))
  assert.ok(lines.length > 30 && held.length >= lines.length)
  const figures: string[] = []
  const tests: Row['held'] = []
  for (const one of held) {
    const [, figure] = /^benchmark `(\w+)`$/.exec(one) ?? []
    const [, file, title] = /^`([^`]+\.test\.ts)`: (.+)$/.exec(one) ?? []
    if (figure !== undefined) figures.push(figure)
    else if (file !== undefined && title !== undefined) tests.push({ file, title })
    else assert.fail(`"${one}" is neither a test nor a figure`)
  }
  assert.deepEqual(missing(tests), [])
  const benches = globSync('bench/*.ts', { cwd: root }).map(read).join('\n')
  const unknown = figures.filter(name => !benches.includes(`'${name}'`))
  assert.deepEqual(unknown, [])
})

/** What of it is not there, in words. */
function missing(all: Row['held']): string[] {
  const wrong: string[] = []
  const known = new Map<string, RegExp[]>()
  for (const { file, title } of all) {
    if (!existsSync(join(root, file))) {
      wrong.push(`no file ${file}`)
      continue
    }
    const titles = known.get(file) ?? titlesOf(file)
    known.set(file, titles)
    if (!titles.some(one => one.test(title))) wrong.push(`no test "${title}" in ${file}`)
  }
  return wrong
}

test('the promises are numbered from 1 to 23, each once, and each row says all it has to', () => {
  const document = read('docs/promises.md')
  const numbers = rows(document).flatMap(({ cells }) =>
    /^\d+$/.test(cells[0] ?? '') ? [Number(cells[0])] : [],
  )
  assert.deepEqual(
    numbers,
    Array.from({ length: 23 }, (_, at) => at + 1),
  )
  for (const { cells, held } of rows(document)) {
    assert.ok(
      cells.slice(0, -1).every(cell => cell !== ''),
      cells.join(' | '),
    )
    assert.ok(held.length > 0)
  }
  const lines = document.split('\n').filter(line => line.startsWith('| ') && !/^\| ?(?:What|\|)/.test(line))
  assert.equal(lines.length, rows(document).length, 'a row without a test')
})

test('each advisory about proxies is held by a test that runs a proxy', () => {
  const concerned = [
    ...['CVE-2026-25748', 'CVE-2023-36456', 'CVE-2026-41569', 'CVE-2025-64484', 'GHSA-7x63-xv5r-3p2x'],
    ...['GHSA-7rh7-c77v-6434', 'GHSA-pxq7-h93f-9jrg', 'GHSA-5hvv-m4w4-gf6v', 'GHSA-f24x-5g9q-753f'],
    ...['GHSA-5m6c-jp6f-2vcv', 'GHSA-4mf2-f3wh-gvf2', 'GHSA-7r4p-vjf4-gxv4', 'GHSA-f59h-q822-g45g'],
    ...['CVE-2024-45410', 'GHSA-5m6w-wvh7-57vm', 'GHSA-6384-m2mw-rf54'],
  ]
  const held = titlesIn(read('test/advisories/proxy.test.ts')).map(title => title.source)
  const missing = concerned.filter(advisory => !held.some(title => title.includes(advisory)))
  assert.deepEqual(missing, [])
  const document = read('docs/advisories.md')
  for (const advisory of concerned)
    assert.match(
      document,
      new RegExp(`^\\| ${advisory} \\| .+\`test/advisories/proxy\\.test\\.ts\``, 'm'),
      advisory,
    )
})
