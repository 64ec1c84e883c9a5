// Values that stand somewhere else: `file:///path?fallback` and `env://NAME?fallback`. Anything else is taken literally.

export type Resolved =
  | { kind: 'literal'; text: string }
  | { kind: 'found'; text: string }
  | { kind: 'fallback'; text: string; missing: string }
  /** `env://` of an unset variable without fallback: the empty text, worth a warning */
  | { kind: 'unset'; text: ''; missing: string }
  /** `file://` that cannot be read, without fallback; `missing` says which file and why */
  | { kind: 'unreadable'; missing: string }

export interface Surroundings {
  env: Readonly<Record<string, string | undefined>>
  /** throws when the file cannot be read */
  readFile: (path: string) => string
}

/** True when the text is a URI that is followed. */
export function isIndirect(text: string): boolean {
  return /^(?:file|env):\/\//i.test(text)
}

/**
 * Follows a URI once; what it leads to is literal. Surrounding white space of a file is dropped. Of `file://` only the path counts,
 * so a form with two slashes and no path is never readable. Never throws.
 */
export function resolveIndirect(text: string, { env, readFile }: Surroundings): Resolved {
  const parts = /^(file|env):\/\/([^?]*)(?:\?(.*))?$/is.exec(text)
  if (parts === null) return { kind: 'literal', text }
  const [, scheme = '', place = '', fallback] = parts
  if (scheme.toLowerCase() === 'env') {
    const name = place.replace(/\/+$/, '')
    const value = env[name]
    if (value !== undefined) return { kind: 'found', text: value }
    const missing = `variable ${name} is not set`
    return fallback === undefined
      ? { kind: 'unset', text: '', missing }
      : { kind: 'fallback', text: fallback, missing }
  }
  const path = pathOf(place)
  try {
    if (path === undefined) throw new Error('a file URI needs three slashes, file:///path')
    return { kind: 'found', text: readFile(path).trim() }
  } catch (error) {
    const reason =
      error instanceof Error && 'code' in error ? String(error.code) : String((error as Error).message)
    const missing = `file ${path ?? place} cannot be read (${reason})`
    return fallback === undefined
      ? { kind: 'unreadable', missing }
      : { kind: 'fallback', text: fallback, missing }
  }
}

function pathOf(place: string): string | undefined {
  const slash = place.indexOf('/')
  if (slash === -1) return undefined
  const path = place.slice(slash)
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
