// Log lines of every program: JSON on stderr with the field names operators already grep for
// (`event`, `level`, `logger`, `timestamp`). Access lines have their own writer (http/access-log.ts).
// This room owns no state but the level; it never sees a secret: what must not be logged is redacted here.
import pino from 'pino'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warning' | 'error'
export type LogFields = Record<string, unknown>

/** One logger; `event` is a short constant text, everything that varies goes into `fields`. */
export interface Log {
  trace(event: string, fields?: LogFields): void
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warning(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
  /** The same stream under another `logger` name, with fields added to every line. */
  child(logger: string, fields?: LogFields): Log
  /** Applies to this logger and all that came from the same root. */
  setLevel(level: LogLevel): void
  /** Whether lines of this level are written now. */
  enabled(level: LogLevel): boolean
}

/** Field names whose values never reach a log, at any depth up to three. */
const secretFields =
  /^(code|state|token|access_token|refresh_token|id_token|id_token_hint|password|secret|client_secret|cookie_secret|authorization|cookie|set-cookie|cookies|key|raw_token|code_verifier|nonce|assertion)$/i
const redacted = '********************'

/** Text of an error with its causes, never its stack: `a: b: c`. */
export function errorText(error: unknown): string {
  const parts: string[] = []
  let at: unknown = error
  while (at !== undefined && at !== null && parts.length < 5) {
    const text = at instanceof Error ? at.message || ('code' in at ? String(at.code) : at.name) : String(at)
    if (text !== '' && !parts.some(part => part.includes(text))) parts.push(text)
    at = at instanceof Error ? at.cause : undefined
  }
  return parts.join(': ')
}

function clean(fields: LogFields, depth = 0): LogFields {
  const out: LogFields = {}
  for (const [name, value] of Object.entries(fields)) {
    if (secretFields.test(name)) out[name] = redacted
    else if (value instanceof Error) out[name] = errorText(value)
    else if (depth < 3 && value !== null && typeof value === 'object' && !Array.isArray(value))
      out[name] = clean(value as LogFields, depth + 1)
    else out[name] = value
  }
  return out
}

/**
 * Creates the root logger of a program.
 * @param options.level lowest level written
 * @param options.logger value of the field `logger`, e.g. `authentik.outpost`
 * @param options.write receives each finished line; default: stderr, synchronously
 */
export function createLog(options: { level: LogLevel; logger: string; write?: (line: string) => void }): Log {
  const stream =
    options.write === undefined ? pino.destination({ fd: 2, sync: true }) : { write: options.write }
  const root = pino(
    {
      base: null,
      messageKey: 'event',
      customLevels: { warning: 40 },
      level: options.level,
      timestamp: () => `,"timestamp":"${new Date().toISOString().slice(0, 19)}Z"`,
      formatters: { level: label => ({ level: label === 'warn' ? 'warning' : label }) },
    },
    stream,
  )
  // Children write everything they are given; the level of the root decides what that is, for all of them at once.
  const wrap = (logger: string, extra: LogFields): Log => {
    const own = root.child({ logger, ...clean(extra) }, { level: 'trace' })
    const at =
      (level: LogLevel) =>
      (event: string, fields: LogFields = {}) => {
        if (root.isLevelEnabled(level)) own[level](clean(fields), event)
      }
    return {
      trace: at('trace'),
      debug: at('debug'),
      info: at('info'),
      warning: at('warning'),
      error: at('error'),
      child: (name, fields = {}) => wrap(name, { ...extra, ...fields }),
      enabled: level => root.isLevelEnabled(level),
      setLevel: level => {
        root.level = level
      },
    }
  }
  return wrap(options.logger, {})
}

/** A logger that writes nothing, for tests and for parts that run before the log exists. */
export const silentLog: Log = {
  trace() {},
  debug() {},
  info() {},
  warning() {},
  error() {},
  child: () => silentLog,
  setLevel() {},
  enabled: () => false,
}
