// Runs one of the operations for a while, in a process of its own. Entered by `fork`; talks in messages.
import { type OperationsArgs, prepareOperations } from './operations.ts'

export interface OperationRun {
  name: string
  /** callers that each begin anew as soon as they have their answer */
  callers: number
  ms: number
}

export interface OperationResult {
  perSecond: number
  /** ms */
  p50: number
  p99: number
  count: number
  /** CPU seconds of this process */
  cpu: number
}

const { operations, close } = await prepareOperations(JSON.parse(process.argv[2] ?? 'null') as OperationsArgs)
process.on('message', (run: OperationRun) => {
  repeat(run).then(
    result => process.send?.(result),
    (error: Error) => process.send?.({ error: error.stack ?? error.message }),
  )
})
process.on('disconnect', () => void close().finally(() => process.exit(0)))
process.send?.('ready')

async function repeat({ name, callers, ms }: OperationRun): Promise<OperationResult> {
  const operation = operations[name]
  if (operation === undefined) throw new Error(`there is no operation called ${name}`)
  const times: number[] = []
  const before = process.cpuUsage()
  const began = performance.now()
  const until = began + ms
  const caller = async () => {
    // What is answered without waiting must not keep the loop to itself for ever.
    for (let now = performance.now(), turn = 0; now < until; turn++) {
      await operation()
      const then = performance.now()
      times.push(then - now)
      if (turn % 1000 === 999) await new Promise(resolve => setImmediate(resolve))
      now = turn % 1000 === 999 ? performance.now() : then
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  const seconds = (performance.now() - began) / 1000
  const { user, system } = process.cpuUsage(before)
  const sorted = Float64Array.from(times).sort()
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return {
    perSecond: times.length / seconds,
    ...{ p50: at(0.5), p99: at(0.99), count: times.length, cpu: (user + system) / 1e6 },
  }
}
