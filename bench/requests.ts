// The requests of the load: what a front proxy and a browser really send, among others with cookies that are not ours.

const common = [
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'Accept-Language: en-GB,en;q=0.5',
  'Accept-Encoding: gzip, deflate, br',
]

/** nginx asks about a page. @param cookie `name=value` of the session */
export function forwardAuthRequest(cookie: string): string {
  return request('/outpost.goauthentik.io/auth/nginx', [
    'Host: judged.example',
    'X-Original-URL: https://judged.example/reports/2026?page=3',
    ...common,
    cookieLine(cookie),
  ])
}

/** A browser asks for a page of the application that is proxied. */
export function pageRequest(cookie: string): string {
  return request('/reports/2026?page=3', [
    'Host: proxied.example',
    'X-Forwarded-Proto: https',
    ...common,
    cookieLine(cookie),
  ])
}

function cookieLine(cookie: string): string {
  return `Cookie: theme=dark; ${cookie}; _app_session=b3f1a86f2c6a4a7b9d3e`
}

function request(path: string, headers: string[]): string {
  return `GET ${path} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`
}
