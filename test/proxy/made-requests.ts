// Requests as nobody should send them: hosts, paths, queries, forwarded headers and cookies, right, nearly right and wrong.
import fc from 'fast-check'

const P = '/outpost.goauthentik.io'
const hosts = ['app.example', 'judged.example', 'auth.dom.example', 'sub.dom.example']

export interface Made {
  host: string
  path: string
  headers: [string, string][]
  /** one of the cookies is a genuine one */
  genuine: boolean
}

/** Text that a header can carry. */
const headerText = fc.string({
  unit: fc.constantFrom(...'abz019-_.:;,=/\\@%?&#[]()<>"\' \u00e9\u00ff'),
  maxLength: 60,
})
const weirdHost = fc.oneof(
  fc.constantFrom(
    ...[
      'app.example',
      'APP.EXAMPLE',
      'app.example:443',
      'app.example:8443',
      'app.example.',
      'app.example.evil.test',
    ],
    ...[
      'evil.test',
      'dom.example',
      'evildom.example',
      'x.dom.example',
      'judged.example',
      '[::1]',
      'app.example@evil.test',
    ],
  ),
  headerText,
)
const weirdPath = fc.oneof(
  fc.constantFrom(
    '/',
    '//',
    '/a/../b',
    '/%2e%2e/x',
    '/%2f',
    '/a%00b',
    '/\\evil.test',
    '//evil.test/x',
    `${P}`,
    `${P}/`,
  ),
  fc.webPath().map(path => `/${path.replace(/^\/+/, '')}`),
  headerText.map(text => `/${text.replaceAll(/[^\x21-\x7e]/g, '')}`),
)
const weirdUrl = fc
  .tuple(
    fc.constantFrom('https://', 'http://', '//', 'HTTPS://', 'ftp://', 'javascript:', '', '\\\\'),
    weirdHost,
    weirdPath,
  )
  .map(parts => parts.join(''))
const query = fc.oneof(
  fc.constant(''),
  fc.constantFrom('?X-authentik-auth-callback=true', '?X-authentik-logout=true', '?x=1&y=%20'),
  weirdUrl.map(url => `?rd=${encodeURIComponent(url)}`),
  headerText.map(text => `?code=${encodeURIComponent(text)}&state=${encodeURIComponent(text)}`),
)
const ownPath = fc.constantFrom(
  '/start',
  '/callback',
  '/sign_out',
  '/ping',
  '/auth/nginx',
  '/auth/traefik',
  '/auth/caddy',
  '/auth/envoy/x',
  '/x',
)

/** @param cookies `name=value` of live sessions of app.example, judged.example and the domain dom.example */
export function request(cookies: readonly string[]): fc.Arbitrary<Made> {
  const path = fc.oneof(
    ownPath.map(own => P + own),
    weirdPath,
  )
  const header = fc.oneof(
    fc.tuple(fc.constantFrom('X-Forwarded-Host', 'x-forwarded-host', 'X_Forwarded_Host'), weirdHost),
    fc.tuple(
      fc.constantFrom('X-Forwarded-Proto'),
      fc.constantFrom('https', 'http', 'wss', 'https, http', 'gopher', ''),
    ),
    fc.tuple(
      fc.constantFrom('X-Forwarded-Uri', 'X-Original-URI'),
      fc.tuple(weirdPath, query).map(two => two.join('')),
    ),
    fc.tuple(fc.constantFrom('X-Original-URL'), weirdUrl),
    fc.tuple(
      fc.constantFrom('X-authentik-username', 'X_AUTHENTIK_USERNAME', 'x-authentik-groups'),
      fc.constant('mallory'),
    ),
    fc.tuple(
      fc.constantFrom('Authorization'),
      fc.oneof(
        headerText,
        headerText.map(text => `Bearer ${text}`),
      ),
    ),
    fc.tuple(fc.constantFrom('X-Forwarded-For', 'Sec-Fetch-Mode', 'Accept', 'X-Requested-With'), headerText),
    fc.tuple(
      fc.constantFrom('Connection'),
      fc.constantFrom('X-authentik-username', 'cookie, keep-alive', 'close'),
    ),
  )
  const headers = fc.array(header as fc.Arbitrary<[string, string]>, { maxLength: 5 })
  const anything = fc
    .record({
      host: fc.oneof(fc.constantFrom(...hosts), weirdHost),
      path: fc.tuple(path, query).map(two => two.join('')),
      headers,
      jar: fc.array(cookie(cookies), { maxLength: 3 }),
    })
    .map(({ host, path: target, headers, jar }) => ({
      host,
      path: target,
      headers: jar.length === 0 ? headers : [...headers, ['Cookie', jar.join('; ')] as [string, string]],
      genuine: jar.some(one => cookies.includes(one)),
    }))
  // A sign-out would end the sessions of all requests that follow.
  return fc
    .oneof({ weight: 2, arbitrary: anything }, nearlyRight(cookies, headers))
    .filter(made => !made.genuine || !/sign_out|logout/i.test(JSON.stringify(made)))
}

/** Somebody who is signed in, plus whatever else. */
function nearlyRight(
  cookies: readonly string[],
  headers: fc.Arbitrary<[string, string][]>,
): fc.Arbitrary<Made> {
  const [proxied = '', judged = '', domain = ''] = cookies
  const front = (name: string, host: string): [string, [string, string][]][] => [
    [`${P}/auth/nginx`, [['X-Original-URL', `https://${host}${name}`]]],
    [`${P}/auth/envoy${name}`, []],
    [
      `${P}/auth/traefik`,
      [
        ['X-Forwarded-Proto', 'https'],
        ['X-Forwarded-Host', host],
        ['X-Forwarded-Uri', name],
      ],
    ],
  ]
  const right = fc.oneof(
    weirdPath.map(path => ({ host: 'app.example', path, own: [] as [string, string][], cookie: proxied })),
    fc.tuple(fc.boolean(), weirdPath, fc.nat(2)).map(([single, name, at]) => {
      const host = single ? 'judged.example' : 'sub.dom.example'
      const [path = '', own = []] = front(name, host)[at] ?? []
      return { host, path, own, cookie: single ? judged : domain }
    }),
  )
  return fc.tuple(right, headers, fc.boolean()).map(
    ([{ host, path, own, cookie: mine }, more, alone]): Made => ({
      ...{ host, path, genuine: true },
      headers: [...own, ['Cookie', `theme=dark; ${mine}`], ...(alone ? [] : more)],
    }),
  )
}

/** A genuine cookie, one with a letter changed, one under another name, or anything. */
function cookie(cookies: readonly string[]): fc.Arbitrary<string> {
  const some = fc.constantFrom(...cookies)
  return fc.oneof(
    some,
    fc.tuple(some, fc.nat(53), fc.constantFrom(...'ABCxyz019-_')).map(([text, at, letter]) => {
      const from = text.indexOf('=') + 1 + at
      return text.slice(0, from) + letter + text.slice(from + 1)
    }),
    fc.tuple(some, some).map(([name, value]) => `${name.split('=')[0]}=${value.split('=')[1]}`),
    fc.tuple(some, headerText).map(([name, value]) => `${name.split('=')[0]}=${value}`),
    headerText,
  )
}
