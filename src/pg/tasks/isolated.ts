// A body in a thread of its own: it can be ended at any moment, whatever it does, and its memory has a bound. It has no database and
// none of this program's environment: it is given a payload and gives back a JSON value.
import { Worker } from 'node:worker_threads'
import type { IsolatedContext } from './actor.ts'

export interface Isolated {
  /** Module with an exported function `run(context)`, a file URL. */
  module: string
  /** Of the thread's heap. Default 256. */
  memoryMb?: number
}

/** What the thread is started with. */
export interface ThreadData {
  module: string
  payload: unknown
  id: string
  attempt: number
}

/** What it says. */
export type ThreadMessage =
  | { kind: 'line'; level: 'trace' | 'debug' | 'info' | 'warning' | 'error'; event: string; fields: string }
  | { kind: 'progress'; done: number; total: number }
  | { kind: 'result'; json: string }
  | { kind: 'error'; message: string }

export interface IsolatedBody {
  /** Rejects when the body throws, when the thread ends without a result, and once it was killed. */
  readonly done: Promise<unknown>
  /** Ends the thread; resolves when it is gone. */
  kill(): Promise<void>
}

/** Runs the module's `run` in a new thread; the context's signal is passed on. */
export function startIsolated(isolated: Isolated, context: IsolatedContext<unknown>): IsolatedBody {
  const data: ThreadData = {
    module: isolated.module,
    payload: context.payload,
    id: context.id,
    attempt: context.attempt,
  }
  const { promise: done, resolve, reject } = Promise.withResolvers<unknown>()
  const thread = new Worker(new URL('./isolated-thread.ts', import.meta.url), {
    workerData: data,
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: isolated.memoryMb ?? 256 },
  })
  const tellToStop = () => thread.postMessage('stop')
  thread.on('message', (message: ThreadMessage) => {
    if (message.kind === 'line') context.log[message.level](message.event, JSON.parse(message.fields))
    else if (message.kind === 'progress') context.progress(message.done, message.total)
    else if (message.kind === 'result') resolve(JSON.parse(message.json))
    else reject(new Error(message.message))
  })
  thread.on('error', reject)
  thread.on('exit', code => reject(new Error(`the thread of the task ended by itself, code ${code}`)))
  if (context.signal.aborted) tellToStop()
  else context.signal.addEventListener('abort', tellToStop, { once: true })
  const over = () => {
    context.signal.removeEventListener('abort', tellToStop)
    // It has said what it had to say; what it left running goes with it.
    void thread.terminate()
  }
  done.then(over, over)
  return {
    done,
    async kill() {
      await thread.terminate()
      reject(new Error('the task was ended by force'))
    },
  }
}
