// The two query parameters by which a callback or a sign-out is recognised on any path of an application.

/** The callback wins when both are there. */
export function signatureOf(query: string): 'callback' | 'sign-out' | null {
  if (!/x-authentik-/i.test(query) && !query.includes('%')) return null
  const params = new URLSearchParams(query)
  if (isTrue(params.get('X-authentik-auth-callback'))) return 'callback'
  return isTrue(params.get('X-authentik-logout')) ? 'sign-out' : null
}

function isTrue(value: string | null): boolean {
  return value !== null && value.toLowerCase() === 'true'
}
