import { readPage } from './page.ts'

/** Why a call did not give a result. `message` may be shown to the user. */
export class ApiError extends Error {
  /** HTTP status, 0 when there was no answer */
  readonly status: number
  /** machine-readable reason, e.g. `not_authenticated`; empty when the answer named none */
  readonly code: string
  /** id of the request in the server's log; empty when there was no answer */
  readonly requestId: string
  constructor(status: number, code: string, message: string, requestId: string) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.code = code
    this.requestId = requestId
  }
}

export interface ApiAnswer {
  /** the parsed body; null for 204 */
  body: unknown
  requestId: string
  /** value of a header of the answer, empty when it is not there */
  header(name: string): string
}

/**
 * Calls Core's API as the browser's own session, with the CSRF header on everything that changes something.
 * @param path path with query, e.g. `/api/v3/core/users/me/`
 * @param extra further headers
 * @throws ApiError for every answer outside 200 to 299, a body that is not JSON, and no answer at all
 */
export async function callApi(
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: unknown,
  extra: Record<string, string> = {},
): Promise<ApiAnswer> {
  const headers = new Headers({ accept: 'application/json', ...extra })
  if (body !== undefined) headers.set('content-type', 'application/json')
  if (method !== 'GET') headers.set('x-authentik-csrf', cookieValue(readPage().csrf_cookie))
  const response = await send(method, path, headers, body)
  const requestId = response.headers.get('x-authentik-id') ?? ''
  const text = await response.text().catch(() => '')
  const value = parseJson(text)
  if (!response.ok) {
    const { code, detail } = reasonOf(value)
    throw new ApiError(response.status, code, detail || sentenceFor(response.status), requestId)
  }
  if (value === undefined && response.status !== 204) {
    throw new ApiError(
      response.status,
      'not_json',
      'The server sent an answer this page cannot read.',
      requestId,
    )
  }
  return { body: value ?? null, requestId, header: name => response.headers.get(name) ?? '' }
}

async function send(method: string, path: string, headers: Headers, body: unknown): Promise<Response> {
  try {
    return await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
      cache: 'no-store',
    })
  } catch {
    throw new ApiError(0, 'unreachable', 'The server could not be reached. Check your connection.', '')
  }
}

/** Value of a cookie of this page, empty when it is not there. */
function cookieValue(name: string): string {
  for (const pair of document.cookie.split('; ')) {
    const at = pair.indexOf('=')
    if (at > 0 && pair.slice(0, at) === name) return pair.slice(at + 1)
  }
  return ''
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function reasonOf(value: unknown): { code: string; detail: string } {
  if (value === null || typeof value !== 'object') return { code: '', detail: '' }
  const { code, detail } = value as Record<string, unknown>
  return { code: typeof code === 'string' ? code : '', detail: typeof detail === 'string' ? detail : '' }
}

function sentenceFor(status: number): string {
  if (status === 403) return 'The server refused this request.'
  if (status === 404) return 'This page does not exist.'
  if (status === 429) return 'Too many attempts. Wait a moment and try again.'
  if (status === 503) return 'The service is busy or restarting. Try again in a moment.'
  return `The server answered with an error (${status}).`
}
