// A worker in a process of its own whose tasks do nothing.
import type { PgTarget } from '../src/pg/target.ts'
import { serveBench } from './bench-process.ts'
import { startTaskEngine } from './task-engine.ts'

await serveBench(async ({ target, concurrency }: { target: PgTarget; concurrency: number }) => {
  const engine = await startTaskEngine({ target, role: 'work', concurrency, run: async () => {} })
  return { about: {}, close: () => engine.close() }
})
