// Request URIs for logs: the values of parameters that could be used again are replaced.

const redacted = '***'
const secretNames = new Set([
  'code',
  'state',
  'nonce',
  'key',
  'api_key',
  'apikey',
  'ticket',
  'assertion',
  'client_assertion',
  'code_verifier',
  'device_code',
  'user_code',
  'authorization',
  'cookie',
  'passwd',
  'pwd',
  'signature',
  'sig',
  'samlresponse',
  'samlrequest',
  'id_token_hint',
  'x-amz-signature',
])
const secretEnding = /(?:token|secret|password)$/

/** How deep queries inside values (`rd=https://…?code=…`) are followed. */
const maxDepth = 3

/**
 * A request URI whose secret parameters read `***`: codes, states, tokens, passwords and the like, also inside the value of another
 * parameter (`rd`, `next`, `query`). Everything else stays as it was sent; never throws.
 */
export function redactUri(uri: string): string {
  const mark = uri.indexOf('?')
  return mark === -1 ? uri : uri.slice(0, mark + 1) + redactQuery(uri.slice(mark + 1), 0)
}

function redactQuery(query: string, depth: number): string {
  if (!query.includes('=')) return query
  return query
    .split('&')
    .map(pair => redactPair(pair, depth))
    .join('&')
}

function redactPair(pair: string, depth: number): string {
  const equals = pair.indexOf('=')
  if (equals === -1) return pair
  const name = decode(pair.slice(0, equals)).trim().toLowerCase()
  const raw = pair.slice(equals + 1)
  if (raw === '') return pair
  if (secretNames.has(name) || secretEnding.test(name)) return `${pair.slice(0, equals)}=${redacted}`
  const inner = decode(raw)
  if (!inner.includes('=')) return pair
  if (depth >= maxDepth) return `${pair.slice(0, equals)}=${redacted}`
  const mark = inner.indexOf('?')
  const clean = inner.slice(0, mark + 1) + redactQuery(inner.slice(mark + 1), depth + 1)
  return clean === inner ? pair : `${pair.slice(0, equals)}=${encodeURIComponent(clean)}`
}

function decode(text: string): string {
  if (!text.includes('%') && !text.includes('+')) return text
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}
