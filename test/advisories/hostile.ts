// What hostile clients send, and what holds for every answer they get.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { WholeCore } from './whole-core.ts'

/** Runs in bounded time; a first failure is shrunk within it too. */
export const runs = { numRuns: 250, interruptAfterTimeLimit: 7000, markInterruptAsFailure: false }

/** Texts that have broken something somewhere, and random ones. */
const nasty = fc.constantFrom(
  ...[
    '',
    ' ',
    '\0',
    '%00',
    '\ud800',
    '"',
    "'",
    '<script>alert(1)</script>',
    '../../etc/passwd',
    '//evil.example',
  ],
  ...[
    '/\\evil.example',
    'javascript:alert(1)',
    'https://evil.example/',
    'null',
    'true',
    '-1',
    '0',
    '1e400',
    'NaN',
  ],
  ...[
    '99999999999999999999',
    '2147483648',
    '__proto__',
    'constructor',
    'a'.repeat(5000),
    '\u202e',
    '2024-02-31T00:00:00Z',
  ],
  ...[
    '9999-12-31T23:59:59Z',
    '0000-00-00T00:00:00Z',
    '{"a":',
    '{"a":"\\u0000"}',
    '{"__proto__":1}',
    '[]',
    '*',
  ],
  ...['00000000-0000-0000-0000-000000000000', 'openid', 'code', '(((((', '$1', "';drop table users;--", '🦆'],
)
export const text = fc.oneof(
  { weight: 3, arbitrary: nasty },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 60 }) },
)
export const json = fc.oneof(
  { weight: 4, arbitrary: text },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
)

/** Asserts what holds for every answer. @param origins where a redirect may lead besides Core itself */
export async function sound(
  test: WholeCore,
  what: unknown,
  response: Response,
  origins: string[] = [],
): Promise<string> {
  const body = await response.text()
  const seen = `${response.status} ${body.slice(0, 300)} for ${JSON.stringify(what)}`
  assert.deepEqual(test.failures, [], seen)
  assert.ok(response.status >= 200 && response.status < 500, seen)
  assert.doesNotMatch(body, /node_modules|\.ts:\d+|at \w+ \(|syntax error|pg_catalog/, seen)
  const location = response.headers.get('location')
  if (location !== null) {
    const to = new URL(location, response.url)
    assert.ok([new URL(test.base).origin, ...origins].includes(to.origin), `${location} ${seen}`)
  }
  return body
}

export function send(test: WholeCore, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(test.base + path, { redirect: 'manual', ...init })
}
