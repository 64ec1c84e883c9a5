// The lines of one run: to the program's log as they come, and kept for the task's own log, cleaned of secrets by the same code.
import { createLog, type Log, type LogFields } from '../../log.ts'

export interface LogLine {
  /** Place in the run. */
  seq: number
  at: string
  level: string
  logger: string
  event: string
  attributes: Record<string, unknown>
}

/** Worst last; `aggregated_status` of a task is the worst level of its lines. */
const levels = ['debug', 'info', 'warning', 'error'] as const
const maxLines = 1000
const maxAttributes = 8192

export interface RunLog {
  log: Log
  /** Lines since it was last called: at most 1,000 in all, and then one that says so. */
  take(): LogLine[]
  /** Lines that were taken and could not be written. */
  putBack(lines: LogLine[]): void
  pending(): number
  worst(): 'info' | 'warning' | 'error' | undefined
}

/**
 * @param options.log lines go here too
 * @param options.fields added to them there
 */
export function createRunLog(options: { log: Log; fields: LogFields; now?: () => Date }): RunLog {
  const { now = () => new Date() } = options
  let lines: LogLine[] = []
  let seq = 0
  let worst = 0
  let memory: Log | undefined

  function keep(text: string): void {
    const { level, logger, event, timestamp, ...attributes } = JSON.parse(text) as Record<string, unknown>
    const line = {
      seq: seq++,
      at: now().toISOString(),
      level: level === 'trace' ? 'debug' : String(level),
      logger: String(logger),
      event: String(event),
      attributes: JSON.stringify(attributes).length > maxAttributes ? { truncated: true } : attributes,
    }
    worst = Math.max(worst, levels.indexOf(line.level as (typeof levels)[number]))
    if (line.seq < maxLines) lines.push(line)
    else if (line.seq === maxLines)
      lines.push({ ...line, level: 'warning', event: 'further lines were not kept', attributes: {} })
  }

  /** Made at the first line: most runs have none. */
  const kept = (): Log => (memory ??= createLog({ level: 'debug', logger: 'authentik.tasks', write: keep }))
  return {
    log: both(() => options.log, kept, options.fields),
    take: () => lines.splice(0),
    putBack(unwritten) {
      lines = [...unwritten, ...lines]
    },
    pending: () => lines.length,
    worst: () => {
      const level = levels[worst] ?? 'debug'
      return level === 'debug' ? undefined : level
    },
  }
}

/** @param fields for the first only */
function both(first: () => Log, second: () => Log, fields: LogFields): Log {
  const write =
    (level: 'trace' | 'debug' | 'info' | 'warning' | 'error'): Log['info'] =>
    (event, more) => {
      first()[level](event, { ...fields, ...more })
      second()[level](event, more)
    }
  return {
    trace: write('trace'),
    debug: write('debug'),
    info: write('info'),
    warning: write('warning'),
    error: write('error'),
    child(name, more) {
      let a: Log | undefined
      let b: Log | undefined
      return both(
        () => (a ??= first().child(name, more)),
        () => (b ??= second().child(name, more)),
        fields,
      )
    },
    setLevel: level => first().setLevel(level),
    enabled: level => first().enabled(level) || level !== 'trace',
  }
}
