// The level Core sets for an outpost.
import type { LogLevel } from '../log.ts'

/** Level of a `log_level` text: `info` when it is missing, `debug` when it is none of ours. */
export function logLevelOf(text: string | undefined): LogLevel {
  if (text === undefined || text === '') return 'info'
  const level = text.toLowerCase()
  if (level === 'trace' || level === 'info' || level === 'warning' || level === 'error') return level
  return 'debug'
}
