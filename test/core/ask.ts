export interface Answer<Body = unknown> {
  status: number
  headers: Headers
  body: Body
}

/**
 * Asks Core's API.
 * @param key of a token; empty: without credentials
 * @param path below `/api/v3`
 * @param body sent as JSON; a form as it is
 * @returns the body parsed when it is JSON, `null` when it is empty, else its text
 */
export async function askApi<Body = unknown>(
  origin: string,
  key: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<Body>> {
  const isForm = body instanceof FormData
  const response = await fetch(`${origin}/api/v3${path}`, {
    method,
    headers: {
      ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json') === true
  const parsed = text === '' ? null : isJson ? JSON.parse(text) : text
  return { status: response.status, headers: response.headers, body: parsed as Body }
}
