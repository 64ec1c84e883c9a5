// Schemes that run code or read local data when navigated to.
const neverFollow = new Set([
  'javascript:',
  'data:',
  'vbscript:',
  'blob:',
  'file:',
  'filesystem:',
  'about:',
  'view-source:',
  'ws:',
  'wss:',
])

/**
 * Decides whether the browser may go where the server says.
 * @param to absolute URL, or a path of this origin
 * @param origin origin a path is resolved against
 * @param customScheme whether an application's own scheme (`myapp:`) is allowed, which holds for the last redirect of a flow only
 * @returns the absolute URL, or null when it must not be followed
 */
export function safeTarget(to: string, origin: string, customScheme = false): string | null {
  let url: URL
  try {
    url = new URL(to, origin)
  } catch {
    return null
  }
  if (url.protocol === 'http:' || url.protocol === 'https:') return url.href
  return customScheme && !neverFollow.has(url.protocol) ? url.href : null
}
