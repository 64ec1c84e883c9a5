// CONN_OPTIONS: libpq keywords as a JSON object, plain or in base64 (the form the reference product uses).
import { ParseError } from './errors.ts'

export interface ConnectionOptions {
  connectTimeoutMs?: number
  targetSessionAttrs?: SessionAttrs
  sslnegotiation?: 'postgres' | 'direct'
  /** run-time parameters of the startup message */
  parameters?: Record<string, string>
}

const sessionAttrs = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const
export type SessionAttrs = (typeof sessionAttrs)[number]

type Reader = (value: unknown, keyword: string) => ConnectionOptions

const keywords: Record<string, Reader> = {
  connect_timeout: (value, keyword) => ({ connectTimeoutMs: seconds(value, keyword) * 1000 }),
  application_name: (value, keyword) => ({ parameters: { application_name: text(value, keyword) } }),
  options: (value, keyword) => ({ parameters: { options: text(value, keyword) } }),
  target_session_attrs: (value, keyword) => ({ targetSessionAttrs: oneOf(sessionAttrs, value, keyword) }),
  sslnegotiation: (value, keyword) => ({
    sslnegotiation: oneOf(['postgres', 'direct'] as const, value, keyword),
  }),
  // Keep-alive is always on, with our own times; the keywords are known, so that a shared secret need not be edited.
  keepalives: () => ({}),
  keepalives_idle: () => ({}),
  keepalives_interval: () => ({}),
  keepalives_count: () => ({}),
}

/** @throws ParseError naming the keyword, never a value */
export function parseConnectionOptions(source: string): ConnectionOptions {
  const trimmed = source.trim()
  if (trimmed === '') return {}
  let result: ConnectionOptions = {}
  for (const [keyword, value] of Object.entries(readObject(trimmed))) {
    const read = Object.hasOwn(keywords, keyword) ? keywords[keyword] : undefined
    if (read === undefined)
      throw new ParseError(
        `must not hold the keyword ${JSON.stringify(keyword)}; known are ${Object.keys(keywords).join(', ')}`,
      )
    const part = read(value, keyword)
    const parameters = { ...result.parameters, ...part.parameters }
    result = { ...result, ...part, ...(Object.keys(parameters).length > 0 ? { parameters } : {}) }
  }
  return result
}

function readObject(source: string): Record<string, unknown> {
  const json = source.startsWith('{') ? source : fromBase64(source)
  try {
    const value: unknown = JSON.parse(json)
    if (value !== null && typeof value === 'object' && !Array.isArray(value))
      return value as Record<string, unknown>
  } catch {}
  throw new ParseError('must be a JSON object, plain or in base64')
}

function fromBase64(source: string): string {
  const compact = source.replace(/\s+/g, '')
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(compact))
    throw new ParseError('must be a JSON object, plain or in base64')
  return Buffer.from(compact, 'base64').toString('utf8')
}

function seconds(value: unknown, keyword: string): number {
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  if (typeof number === 'number' && Number.isInteger(number) && number >= 1 && number <= 3600) return number
  throw new ParseError(`must hold whole seconds from 1 to 3600 as ${keyword}`)
}

function text(value: unknown, keyword: string): string {
  const plain = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value
  if (typeof plain === 'string' && !plain.includes('\0')) return plain
  throw new ParseError(`must hold a text as ${keyword}`)
}

function oneOf<const T extends string>(allowed: readonly T[], value: unknown, keyword: string): T {
  const found = allowed.find(one => one === value)
  if (found === undefined) throw new ParseError(`must hold one of ${allowed.join(', ')} as ${keyword}`)
  return found
}
