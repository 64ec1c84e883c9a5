// Paths that need no login: RE2 patterns, one per line, matched against the decoded path. RE2 has no backtracking, so a pattern cannot
// be made to run long. A path that two programs could read differently matches nothing.
import { RE2JS } from 're2js'

export interface AllowList {
  /** True when one pattern matches anywhere in the text. */
  matches(subject: string): boolean
}

const nothing: AllowList = { matches: () => false }

/**
 * Compiles the lines of `skip_path_regex`; blank lines and a trailing carriage return are ignored.
 * @param warn gets one sentence per line that cannot work: a pattern RE2 refuses, or one that speaks of a query
 */
export function compileAllowList(lines: string, warn: (line: string, why: string) => void): AllowList {
  const patterns: RE2JS[] = []
  for (const raw of lines.split('\n')) {
    const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw
    if (line.trim() === '') continue
    try {
      patterns.push(RE2JS.compile(line))
    } catch (error) {
      warn(line, error instanceof Error ? error.message : String(error))
      continue
    }
    if (speaksOfQuery(line))
      warn(line, 'allow-list patterns see the path only, never the query; this one cannot match one')
  }
  if (patterns.length === 0) return nothing
  return { matches: subject => patterns.some(pattern => pattern.matcher(subject).find()) }
}

function speaksOfQuery(line: string): boolean {
  return /\\\?|\[\?\]|\\x3f/i.test(line)
}

/** Nothing to decode, nothing that two programs could read differently. */
const plainPath = /^\/[\x21-\x24\x26-\x5b\x5d-\x7e]*$/

/**
 * The decoded path of a raw request path, or null when it must match nothing: a dot segment (also in the form `..;x`), a backslash,
 * an encoded slash, a control character, a broken or a doubly encoded one of these.
 */
export function decodedPath(raw: string): string | null {
  if (plainPath.test(raw) && !raw.includes('/.')) return raw
  if (!raw.startsWith('/') || /%2f|%5c/i.test(raw)) return null
  let path: string
  try {
    path = decodeURIComponent(raw)
  } catch {
    return null
  }
  if (/[\\\x00-\x1f\x7f-\x9f]|%(?:2e|2f|5c|25|0|1|7f)/i.test(path)) return null
  for (const segment of path.split('/')) {
    const name = segment.split(';', 1)[0]
    if (name === '.' || name === '..') return null
  }
  return path
}
