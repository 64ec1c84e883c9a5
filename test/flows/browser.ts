// As much of a browser as a flow needs: cookies, no following of redirects, and the calls the flow page makes.

export interface Answer {
  status: number
  headers: Headers
  text: string
}

export interface ChallengeBody {
  component: string
  to?: string
  token?: string
  error_message?: string
  response_errors?: Record<string, { string: string; code: string }[]>
  [key: string]: unknown
}

export interface Browser {
  cookies: Map<string, string>
  get(path: string, headers?: Record<string, string>): Promise<Answer>
  /** Opens the flow's page, for its CSRF cookie. */
  open(slug: string, search?: string): Promise<Answer>
  /** GET of the executor. */
  challenge(slug: string, search?: string): Promise<ChallengeBody>
  /** POST of the executor with the CSRF header of the page. */
  answer(
    slug: string,
    body: object | string,
    search?: string,
    headers?: Record<string, string>,
  ): Promise<ChallengeBody & { status: number; step: string }>
  /** Signs in by the default flow. @returns the last challenge */
  signIn(username: string, password: string, search?: string): Promise<ChallengeBody>
  /** A browser with the same cookies from now on its own. */
  copy(): Browser
}

const login = 'default-authentication-flow'

export function createBrowser(base: string, cookies = new Map<string, string>()): Browser {
  async function send(path: string, init: RequestInit): Promise<Answer> {
    const headers = new Headers(init.headers)
    if (cookies.size > 0)
      headers.set('cookie', [...cookies].map(([name, value]) => `${name}=${value}`).join('; '))
    const response = await fetch(base + path, { ...init, headers, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) keep(cookies, line)
    return { status: response.status, headers: response.headers, text: await response.text() }
  }
  const executor = (slug: string, search: string) =>
    `/api/v3/flows/executor/${slug}/?query=${encodeURIComponent(search)}`
  const browser: Browser = {
    cookies,
    get: (path, headers = {}) => send(path, { headers: { accept: 'text/html', ...headers } }),
    open: (slug, search = '') => browser.get(`/if/flow/${slug}/${search === '' ? '' : `?${search}`}`),
    async challenge(slug, search = '') {
      const { text } = await send(executor(slug, search), { headers: { accept: 'application/json' } })
      return JSON.parse(text)
    },
    async answer(slug, body, search = '', headers = {}) {
      const answer = await send(executor(slug, search), {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'x-authentik-csrf': cookies.get('authentik_csrf') ?? '',
          ...headers,
        },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      })
      return {
        ...JSON.parse(answer.text),
        status: answer.status,
        step: answer.headers.get('x-flow-step') ?? '',
      }
    },
    async signIn(username, password, search = '') {
      await browser.open(login, search)
      return browser.answer(
        login,
        { component: 'ak-stage-identification', uid_field: username, password },
        search,
      )
    },
    copy: () => createBrowser(base, new Map(cookies)),
  }
  return browser
}

function keep(cookies: Map<string, string>, line: string): void {
  const [pair = '', ...attributes] = line.split('; ')
  const at = pair.indexOf('=')
  if (attributes.includes('Max-Age=0')) cookies.delete(pair.slice(0, at))
  else cookies.set(pair.slice(0, at), pair.slice(at + 1))
}
