// Errors that reach a client of Core: a status and a public sentence; the cause goes to the log with the request id.

/** Thrown anywhere below a route; the error handler of app.ts turns it into the API's error body. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string | undefined
  /** field → sentences, for 400 */
  readonly fields: Record<string, string[]> | undefined
  readonly retryAfterSeconds: number | undefined
  constructor(
    status: number,
    detail: string,
    options: ErrorOptions & {
      code?: string
      fields?: Record<string, string[]>
      retryAfterSeconds?: number
    } = {},
  ) {
    super(detail, options)
    this.name = 'ApiError'
    this.status = status
    this.code = options.code
    this.fields = options.fields
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

export function notFound(): ApiError {
  return new ApiError(404, 'Not found.')
}

export function permissionDenied(): ApiError {
  return new ApiError(403, 'You do not have permission to perform this action.', {
    code: 'permission_denied',
  })
}

export function notAuthenticated(detail = 'Authentication credentials were not provided.'): ApiError {
  return new ApiError(403, detail, { code: 'not_authenticated' })
}

/** 400 with one sentence per field; cross-field problems go under `non_field_errors`. */
export function invalid(fields: Record<string, string | string[]>): ApiError {
  const lists = Object.fromEntries(
    Object.entries(fields).map(([name, text]) => [name, typeof text === 'string' ? [text] : text]),
  )
  return new ApiError(400, 'Invalid input.', { fields: lists, code: 'invalid' })
}
