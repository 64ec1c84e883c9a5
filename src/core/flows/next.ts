// Where a flow leads when it is over, as far as the browser may say so: a path of this origin, nothing else.

/**
 * @param text the `next` parameter
 * @returns the path (with query and fragment), or null when it is not one to follow
 */
export function safeNext(text: string): string | null {
  // Before parsing: `new URL` strips tabs and line ends and turns `\` into `/`, so that what it sees is not what a browser saw.
  if (!text.startsWith('/') || text.startsWith('//') || /[\\\x00-\x20\x7f]/.test(text)) return null
  const base = 'http://own.invalid'
  const url = URL.parse(text, base)
  if (url === null || url.origin !== base || url.pathname.startsWith('//')) return null
  return url.pathname + url.search + url.hash
}
