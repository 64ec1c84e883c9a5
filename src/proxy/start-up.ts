// What a start waits for: Core for as long as it takes, and a session backend that Core names rightly.
import { setTimeout as sleep } from 'node:timers/promises'
import { errorText, type Log } from '../log.ts'
import { LinkError, type OutpostLink } from '../wire/link.ts'
import type { OutpostInstance } from '../wire/outpost.ts'
import { BackendError } from './sessions/backend.ts'
import type { Sessions } from './sessions/sessions.ts'

const maxRetryMs = 60_000
const backendRetryMs = 10_000

export interface StartUp {
  /** Repeats a call to Core for ever: doubling pauses while it is unreachable, a minute when it refuses the token. @throws LinkError of kind `no-outpost` */
  untilAnswered<T>(call: () => Promise<T>, event: string): Promise<T>
  /** A wrong value in Core is waited out; everything else that is wrong with the store is thrown. */
  openSessions(first: OutpostInstance): Promise<Sessions>
}

/**
 * @param options.retryMs first pause between attempts
 * @param options.onProblem told what the start waits for
 */
export function createStartUp(options: {
  link: OutpostLink
  sessions: Sessions | ((instance: OutpostInstance) => Sessions | Promise<Sessions>)
  retryMs: number
  signal: AbortSignal
  log: Log
  onProblem: (text: string) => void
}): StartUp {
  const { link, signal, log, onProblem } = options
  return { untilAnswered, openSessions }

  async function untilAnswered<T>(call: () => Promise<T>, event: string): Promise<T> {
    for (let pause = options.retryMs; ; pause = Math.min(pause * 2, maxRetryMs)) {
      try {
        return await call()
      } catch (error) {
        if (signal.aborted || (error instanceof LinkError && error.kind === 'no-outpost')) throw error
        onProblem(errorText(error))
        const wait = error instanceof LinkError && error.kind === 'unauthorized' ? maxRetryMs : pause
        log.error(event, { error: errorText(error), retry_in_s: Math.ceil(wait / 1000) })
        await sleep(wait * (0.75 + Math.random() / 2), undefined, { signal })
      }
    }
  }

  async function openSessions(first: OutpostInstance): Promise<Sessions> {
    if (typeof options.sessions !== 'function') return options.sessions
    let about = first
    let said = ''
    while (true) {
      try {
        return await options.sessions(about)
      } catch (error) {
        if (!(error instanceof BackendError) || error.source !== 'core') throw error
        if (said !== error.message) log.error('session backend', { error: error.message })
        said = error.message
        onProblem(error.message)
        await sleep(Math.min(backendRetryMs, options.retryMs * 10), undefined, { signal })
        about = await untilAnswered(() => link.instance(), 'Failed to fetch outpost configuration')
      }
    }
  }
}
