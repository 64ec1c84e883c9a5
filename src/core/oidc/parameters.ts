// The parameters of a request as OAuth2 reads them: text only, each at most once, an empty one is an absent one (RFC 6749 §3.1).
import { OAuthError } from './errors.ts'

export interface Parameters {
  get(name: string): string | undefined
  /** name of the first parameter that was sent more than once, or that holds a NUL, which no text column takes */
  faulty: string | undefined
  /** in the order sent, without empty ones */
  entries: [string, string][]
}

/** @param source a parsed query or form body: values are texts or lists of texts */
export function readParameters(source: unknown): Parameters {
  const values = new Map<string, string>()
  let faulty: string | undefined
  if (source !== null && typeof source === 'object') {
    for (const [name, value] of Object.entries(source)) {
      const text: unknown = Array.isArray(value) ? value[0] : value
      if (Array.isArray(value) || (typeof text === 'string' && text.includes('\0'))) faulty ??= name
      if (typeof text === 'string' && text !== '') values.set(name, text)
    }
  }
  return { get: name => values.get(name), faulty, entries: [...values] }
}

/** The value, or OAuthError `invalid_request` naming the parameter. */
export function required(parameters: Parameters, name: string): string {
  const value = parameters.get(name)
  if (value === undefined) throw new OAuthError('invalid_request', `Missing required parameter "${name}".`)
  return value
}

/** @throws OAuthError `invalid_request` when a parameter was sent twice, or cannot be read */
export function refuseFaulty(parameters: Parameters): void {
  if (parameters.faulty !== undefined)
    throw new OAuthError('invalid_request', 'A parameter was sent more than once, or is malformed.')
}

/** Space-separated words without repetition (RFC 6749 §3.3). */
export function words(text: string | undefined): string[] {
  return [...new Set((text ?? '').split(' ').filter(word => word !== ''))]
}
