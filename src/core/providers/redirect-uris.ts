// Redirect URIs when they are saved: what would never be followed is refused at once, with the reason. Requests are judged again.
import Type from 'typebox'
import type { RedirectUri } from '../oidc/provider.sql.ts'
import { isPattern, isRegisteredUri, parseRedirectUri } from '../oidc/redirect-uri.ts'

export const RedirectUriBody = Type.Object({
  matching_mode: Type.Enum(['strict', 'regex']),
  url: Type.String({ minLength: 1, maxLength: 2000 }),
  redirect_uri_type: Type.Enum(['authorization', 'logout']),
})
/** The kind may be left out and is then `authorization`. */
export const RedirectUriInput = Type.Object({
  matching_mode: RedirectUriBody.properties.matching_mode,
  url: RedirectUriBody.properties.url,
  redirect_uri_type: Type.Optional(RedirectUriBody.properties.redirect_uri_type),
})

/** Sentences about the entries that cannot be registered; empty when all can. */
export function redirectUriProblems(entries: readonly RedirectUri[]): string[] {
  return entries.flatMap(entry => {
    const problem = entry.matching_mode === 'strict' ? strictProblem(entry.url) : patternProblem(entry.url)
    return problem === undefined ? [] : [`${entry.url}: ${problem}`]
  })
}

/** Patterns that let in a host nobody meant: each is a way to lead a login astray. */
export function widePatterns(entries: readonly RedirectUri[]): string[] {
  return entries
    .filter(
      entry =>
        entry.matching_mode === 'regex' &&
        probes.some(probe =>
          isRegisteredUri(probe, [entry], { type: entry.redirect_uri_type, publicClient: false }),
        ),
    )
    .map(entry => entry.url)
}

const probes = ['https://attacker.example/', 'http://attacker.example/', 'https://attacker.example/callback']

function strictProblem(url: string): string | undefined {
  if (parseRedirectUri(url) !== undefined) return undefined
  return 'enter an absolute URL without user name and fragment, and not of a scheme that runs code or reads files.'
}

const runsCode =
  /^\^?(?:\(\?[a-z]+\))?\^?\(?(?:javascript|data|vbscript|file|blob|filesystem|about|view-source)\\?:/i

function patternProblem(pattern: string): string | undefined {
  if (!isPattern(pattern)) return 'this is no regular expression that RE2 can run.'
  if (runsCode.test(pattern)) return 'the pattern allows a scheme that runs code or reads files.'
  return undefined
}
