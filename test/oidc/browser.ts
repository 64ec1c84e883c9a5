// What tests do with the endpoints: build a request, follow its redirect, exchange the code.
import { createHash, randomBytes } from 'node:crypto'
import type { TestClient, TestCore, TestUser } from './core-app.ts'

export interface Pkce {
  verifier: string
  challenge: string
}

export function newPkce(): Pkce {
  const verifier = randomBytes(32).toString('base64url')
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') }
}

/** Parameters of a sound request; `undefined` leaves one out. */
export function authorizeParameters(
  client: TestClient,
  changes: Record<string, string | undefined> = {},
): URLSearchParams {
  const all: Record<string, string | undefined> = {
    client_id: client.clientId,
    redirect_uri: client.redirectUri,
    response_type: 'code',
    scope: 'openid email profile',
    state: 'the state',
    ...changes,
  }
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(all)) if (value !== undefined) parameters.set(name, value)
  return parameters
}

export function authorize(
  test: TestCore,
  parameters: URLSearchParams,
  user?: Pick<TestUser, 'cookie'>,
): Promise<Response> {
  return fetch(`${test.base}/application/o/authorize/?${parameters}`, {
    redirect: 'manual',
    headers: user === undefined ? {} : { cookie: user.cookie },
  })
}

/** Where an answer redirects to. */
export function locationOf(response: Response): URL {
  const location = response.headers.get('location')
  if (location === null) throw new Error(`no redirect, status ${response.status}`)
  return new URL(location, response.url)
}

/** The code of an authorization that asks nothing. */
export async function codeFor(
  test: TestCore,
  client: TestClient,
  user: TestUser,
  changes: Record<string, string | undefined> = {},
): Promise<string> {
  const url = locationOf(await authorize(test, authorizeParameters(client, changes), user))
  const code = url.searchParams.get('code')
  if (code === null) throw new Error(`no code: ${url}`)
  return code
}

export interface Answer {
  status: number
  headers: Headers
  body: Record<string, unknown>
}

export async function post(
  test: TestCore,
  path: string,
  form: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(`${test.base}${path}`, {
    method: 'POST',
    body: new URLSearchParams(form),
    headers,
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) }
}

/** A token request of the client, with its credentials in the body. */
export function token(test: TestCore, client: TestClient, form: Record<string, string>): Promise<Answer> {
  return post(test, '/application/o/token/', {
    client_id: client.clientId,
    client_secret: client.clientSecret,
    ...form,
  })
}

export function redeem(
  test: TestCore,
  client: TestClient,
  code: string,
  more: Record<string, string> = {},
): Promise<Answer> {
  return token(test, client, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: client.redirectUri,
    ...more,
  })
}

export function introspect(test: TestCore, client: TestClient, accessToken: unknown): Promise<Answer> {
  return post(test, '/application/o/introspect/', {
    client_id: client.clientId,
    client_secret: client.clientSecret,
    token: String(accessToken),
  })
}

/** Payload of a JWT, unverified. */
export function payloadOf(jwt: unknown): Record<string, unknown> {
  return JSON.parse(Buffer.from(String(jwt).split('.')[1] ?? '', 'base64url').toString('utf8'))
}

export function basic(clientId: string, secret: string): { authorization: string } {
  const text = `${encodeURIComponent(clientId)}:${encodeURIComponent(secret)}`
  return { authorization: `Basic ${Buffer.from(text).toString('base64')}` }
}
