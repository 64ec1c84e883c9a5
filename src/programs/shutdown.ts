// The end of a program, as carefully as its start: what was opened last is closed first; a second signal ends at once. And what it does
// in between when it is told to look at its settings again.
import { errorText, type Log } from '../log.ts'

export interface Shutdown {
  /** `close` runs at the end, in the reverse order of registration. */
  add(name: string, close: () => void | Promise<void>): void
  /** `act` runs at every SIGHUP; what it throws is logged, and things stay as they were. @returns fields of the log line */
  onReload(act: () => Record<string, unknown>): void
  /** Starts the end without a signal, e.g. after a fatal error. */
  begin(exitCode: number): void
  /** True once the end has begun. */
  begun(): boolean
  /** Resolves with the exit code once everything is closed. */
  readonly done: Promise<number>
}

/** @param limitMs after which the process ends with what is left open, exit code 1 */
export function createShutdown(log: Log, limitMs = 30_000): Shutdown {
  const closers: { name: string; close: () => void | Promise<void> }[] = []
  let begun = false
  const { promise, resolve } = Promise.withResolvers<number>()
  const begin = (exitCode: number) => {
    if (begun) return
    begun = true
    setTimeout(() => {
      log.error('shutdown takes too long, ending now', { seconds: limitMs / 1000 })
      process.exit(1)
    }, limitMs).unref()
    void closeAll(closers, log).then(clean => resolve(clean ? exitCode : 1))
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      if (begun) process.exit(130)
      log.info('shutting down', { signal })
      begin(0)
    })
  const reloads: (() => Record<string, unknown>)[] = []
  process.on('SIGHUP', () => {
    if (!begun) reload(reloads, log)
  })
  return {
    add: (name, close) => closers.push({ name, close }),
    onReload: act => reloads.push(act),
    begin,
    begun: () => begun,
    done: promise,
  }
}

function reload(acts: (() => Record<string, unknown>)[], log: Log): void {
  if (acts.length === 0) log.info('nothing to reload', { signal: 'SIGHUP' })
  for (const act of acts)
    try {
      log.info('settings reloaded', act())
    } catch (error) {
      log.error('settings not reloaded, everything stays as it is', { error: errorText(error) })
    }
}

async function closeAll(
  closers: { name: string; close: () => void | Promise<void> }[],
  log: Log,
): Promise<boolean> {
  let clean = true
  for (const { name, close } of closers.reverse()) {
    try {
      await close()
    } catch (error) {
      clean = false
      log.error('could not close', { part: name, error })
    }
  }
  return clean
}
