// What runs in the thread of an isolated task: the actor's module, with a context whose every verb is a message.
import { parentPort, workerData } from 'node:worker_threads'
import { errorText, type Log } from '../../log.ts'
import type { IsolatedContext } from './actor.ts'
import type { ThreadData, ThreadMessage } from './isolated.ts'

const { module, payload, id, attempt } = workerData as ThreadData
const abort = new AbortController()
const say = (message: ThreadMessage): void => parentPort?.postMessage(message)

parentPort?.on('message', () => abort.abort(new Error('the task was told to stop')))
await main()

async function main(): Promise<void> {
  try {
    const { run } = (await import(module)) as { run(context: IsolatedContext<unknown>): Promise<unknown> }
    const progress = (done: number, total: number) => say({ kind: 'progress', done, total })
    const result = await run({ payload, id, attempt, log: logTo({}), signal: abort.signal, progress })
    say({ kind: 'result', json: JSON.stringify(result ?? null) })
  } catch (error) {
    say({ kind: 'error', message: errorText(error) })
  }
}

/** Lines go to the log of the task, by which they are cleaned. */
function logTo(always: Record<string, unknown>): Log {
  const line =
    (level: 'trace' | 'debug' | 'info' | 'warning' | 'error'): Log['info'] =>
    (event, fields) =>
      say({ kind: 'line', level, event, fields: JSON.stringify({ ...always, ...fields }, textOfErrors) })
  return {
    trace: line('trace'),
    debug: line('debug'),
    info: line('info'),
    warning: line('warning'),
    error: line('error'),
    child: (_logger, fields) => logTo({ ...always, ...fields }),
    setLevel() {},
    enabled: () => true,
  }
}

function textOfErrors(_name: string, value: unknown): unknown {
  return value instanceof Error ? errorText(value) : value
}
