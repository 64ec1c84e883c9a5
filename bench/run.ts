// `npm run bench`, or `npm run bench -- hot-path sessions`: one JSON line per figure on stdout; a missed goal makes the exit code 1.
import type { Bench } from './context.ts'
import { createDatabases } from './database.ts'
import type { Figure } from './figure.ts'
import { hotPath } from './hot-path.ts'
import { installation } from './installation.ts'
import { sessionTable } from './session-table.ts'

const benches: readonly Bench[] = [hotPath, sessionTable, installation]

process.exitCode = await runAll(process.argv.slice(2))

async function runAll(filters: string[]): Promise<number> {
  const chosen = benches.filter(
    ({ name }) => filters.length === 0 || filters.some(filter => name.includes(filter)),
  )
  if (chosen.length === 0) {
    process.stderr.write(`no benchmark is called like that: ${benches.map(({ name }) => name).join(', ')}\n`)
    return 2
  }
  let missed = 0
  const emit = (figure: Figure) => {
    if (figure.ok === false) missed++
    process.stdout.write(`${JSON.stringify(figure)}\n`)
  }
  const databases = createDatabases()
  try {
    for (const bench of chosen) await bench.run({ emit, postgres: databases.create })
  } finally {
    await databases.close()
  }
  return missed === 0 ? 0 : 1
}
