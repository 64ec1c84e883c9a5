// What can go wrong in an OAuth2 request: a code of the protocol, its status, a sentence for the developer of the client.

/** Code → status of the JSON answer (RFC 6749 §5.2, RFC 6750 §3.1, RFC 7009 §2.2.1). */
const statuses = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  invalid_scope: 400,
  invalid_token: 401,
  insufficient_scope: 403,
  unauthorized_client: 400,
  unsupported_grant_type: 400,
  unsupported_response_type: 400,
  unsupported_response_mode: 400,
  unsupported_token_type: 400,
  request_not_supported: 400,
  request_uri_not_supported: 400,
  registration_not_supported: 400,
  access_denied: 403,
  login_required: 400,
  consent_required: 400,
  interaction_required: 400,
  server_error: 500,
  slow_down: 429,
} as const

export type OAuthErrorCode = keyof typeof statuses

/** Thrown by a check of an endpoint; becomes a JSON body, or parameters of the redirect once the redirect URI is trusted. */
export class OAuthError extends Error {
  readonly code: OAuthErrorCode
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** @param description public: no secret, no text of the request in it */
  constructor(
    code: OAuthErrorCode,
    description: string,
    options: ErrorOptions & { headers?: Record<string, string> } = {},
  ) {
    super(description, options)
    this.name = 'OAuthError'
    this.code = code
    this.status = statuses[code]
    this.headers = options.headers ?? {}
  }
}

/** Body of an error answer of the token, introspection and revocation endpoints (RFC 6749 §5.2). */
export function errorBody(error: OAuthError, requestId: string) {
  return { error: error.code, error_description: error.message, request_id: requestId }
}
