// Addresses of images: icons of applications, backgrounds of flows.

/** True for nothing, a path of this origin, an http(s) address or, where allowed, the name of a symbol: `fa://fa-wiki`. */
export function isImageAddress(text: string, options: { symbols?: boolean } = {}): boolean {
  if (text === '') return true
  if (options.symbols === true && /^fa:\/\/[a-z0-9 -]+$/.test(text)) return true
  const example = withTheme(text, 'light')
  if (/[\x00-\x20\x7f\\]/.test(example)) return false
  if (example.startsWith('/')) return !example.startsWith('//') && URL.canParse(example, 'http://own')
  const url = URL.parse(example)
  return (
    url !== null && ['https:', 'http:'].includes(url.protocol) && url.username === '' && url.password === ''
  )
}

/** The address as a page uses it, null for none; `%(theme)s` in it stands for the theme. */
export function imageAddress(text: string): {
  url: string | null
  themed: Record<'light' | 'dark', string> | null
} {
  if (text === '') return { url: null, themed: null }
  if (!text.includes('%(theme)s')) return { url: text, themed: null }
  const light = withTheme(text, 'light')
  return { url: light, themed: { light, dark: withTheme(text, 'dark') } }
}

function withTheme(text: string, theme: 'light' | 'dark'): string {
  return text.replaceAll('%(theme)s', theme)
}
