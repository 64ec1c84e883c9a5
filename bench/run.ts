// `npm run bench`, or `npm run bench -- hot-path redis`: one JSON line per figure on stdout; a missed goal makes the exit code 1.
// With `--write-docs` docs/benchmarks.md and its pictures are written as well.
import { cacheTable } from './cache-table.ts'
import type { Bench } from './context.ts'
import { coordination } from './coordination.ts'
import { coreSessions } from './core-sessions.ts'
import { createDatabases } from './database.ts'
import { createDocument } from './document.ts'
import type { Figure } from './figure.ts'
import { hotPath } from './hot-path.ts'
import { installation } from './installation.ts'
import { logins } from './logins.ts'
import { outposts } from './outposts.ts'
import { redis } from './redis.ts'
import { revocation } from './revocation.ts'
import { largeSessionTable, sessionTable } from './session-table.ts'
import { soak } from './soak.ts'
import { sockets } from './sockets.ts'
import { taskHistory } from './task-history.ts'
import { tasks } from './tasks.ts'

const benches: readonly Bench[] = [
  hotPath,
  outposts,
  sessionTable,
  largeSessionTable,
  coreSessions,
  redis,
  coordination,
  cacheTable,
  sockets,
  tasks,
  taskHistory,
  logins,
  installation,
  revocation,
  soak,
]

process.exitCode = await runAll(process.argv.slice(2))

async function runAll(args: string[]): Promise<number> {
  const filters = args.filter(arg => !arg.startsWith('--'))
  const unknown = args.filter(arg => arg.startsWith('--') && arg !== '--write-docs')
  const chosen = benches.filter(({ name, byNameOnly }) =>
    filters.length === 0 ? byNameOnly !== true : filters.some(filter => isMeant(name, filter, byNameOnly)),
  )
  if (chosen.length === 0 || unknown.length > 0) {
    const names = benches.map(
      ({ name, byNameOnly }) => `${name}${byNameOnly === true ? ' (by name only)' : ''}`,
    )
    process.stderr.write(`usage: npm run bench -- [--write-docs] [name …]; there are ${names.join(', ')}\n`)
    return 2
  }
  const document = createDocument(args.includes('--write-docs'))
  let missed = 0
  const emit = (figure: Figure) => {
    if (figure.ok === false) missed++
    document.figure(figure)
    process.stdout.write(`${JSON.stringify(figure)}\n`)
  }
  const databases = createDatabases()
  endWithSignals(databases.close)
  try {
    for (const bench of chosen) {
      document.begin(bench.name)
      await bench.run({ emit, document, postgres: databases.create })
      document.end()
    }
  } finally {
    await databases.close()
  }
  return missed === 0 ? 0 : 1
}

/** Told to end, a run leaves no server and no folder of its databases behind. */
function endWithSignals(close: () => Promise<void>): void {
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const)
    process.once(signal, () => {
      // What was going on fails as its server goes; that is no news any more.
      process.on('uncaughtException', () => {})
      void close().finally(() => process.exit(128 + number))
    })
}

function isMeant(name: string, filter: string, byNameOnly?: boolean): boolean {
  return byNameOnly === true ? name === filter : name.includes(filter)
}
