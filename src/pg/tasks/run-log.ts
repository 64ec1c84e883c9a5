// The lines of one run: to the program's log as they come, and kept for the task's own log, cleaned of secrets by the same code.
import { createLog, type Log } from '../../log.ts'

export interface LogLine {
  at: string
  level: string
  logger: string
  event: string
  attributes: Record<string, unknown>
}

/** Worst last; `aggregated_status` of a task is the worst level of its lines. */
const levels = ['debug', 'info', 'warning', 'error']
const maxLines = 1000
const maxAttributes = 8192

/**
 * @param options.log lines go here too
 * @returns `lines` in order, at most 1,000 and then one that says so; `worst` = `info`, `warning`, `error` or undefined
 */
export function createRunLog(options: { log: Log; now?: () => Date }): {
  log: Log
  lines: LogLine[]
  worst(): string | undefined
} {
  const { now = () => new Date() } = options
  const lines: LogLine[] = []
  let worst = 0
  let memory: Log | undefined

  function keep(text: string): void {
    const { level, logger, event, timestamp, ...attributes } = JSON.parse(text) as Record<string, unknown>
    const line = {
      at: now().toISOString(),
      level: level === 'trace' ? 'debug' : String(level),
      logger: String(logger),
      event: String(event),
      attributes: JSON.stringify(attributes).length > maxAttributes ? { truncated: true } : attributes,
    }
    worst = Math.max(worst, levels.indexOf(line.level))
    if (lines.length < maxLines) lines.push(line)
    else if (lines.length === maxLines)
      lines.push({ ...line, level: 'warning', event: 'further lines were not kept', attributes: {} })
  }

  /** Made at the first line: most runs have none. */
  const kept = (): Log => (memory ??= createLog({ level: 'debug', logger: 'authentik.tasks', write: keep }))
  return {
    log: both(() => options.log, kept),
    lines,
    worst: () => (worst === 0 ? undefined : levels[worst]),
  }
}

function both(first: () => Log, second: () => Log): Log {
  const write =
    (level: 'trace' | 'debug' | 'info' | 'warning' | 'error'): Log['info'] =>
    (event, fields) => {
      first()[level](event, fields)
      second()[level](event, fields)
    }
  return {
    trace: write('trace'),
    debug: write('debug'),
    info: write('info'),
    warning: write('warning'),
    error: write('error'),
    child(name, fields) {
      let a: Log | undefined
      let b: Log | undefined
      return both(
        () => (a ??= first().child(name, fields)),
        () => (b ??= second().child(name, fields)),
      )
    },
    setLevel: level => first().setLevel(level),
    enabled: level => first().enabled(level) || level !== 'trace',
  }
}
