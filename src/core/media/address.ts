// What a text in an icon, a logo or a background means: the name of a media file, a path of this origin, an address on the web, or the
// name of a symbol; and where a page finds it.
import type { MediaAddresses } from './media.sql.ts'
import { isMediaName, mediaPath } from './names.ts'

export interface ImageAddress {
  /** null for none */
  url: string | null
  /** one for each theme when the text names the theme */
  themed: Record<'light' | 'dark', string> | null
}

/**
 * True for nothing, the name of a media file, a path of this origin, an http(s) address or, where allowed, the name of a symbol:
 * `fa://fa-wiki`. `%(theme)s` in it stands for `light` and `dark`. A file of the name need not exist.
 */
export function isImageAddress(text: string, options: { symbols?: boolean } = {}): boolean {
  if (text === '') return true
  if (options.symbols === true && /^fa:\/\/[a-z0-9 -]+$/.test(text)) return true
  const example = withTheme(text, 'light')
  if (isMediaName(example)) return true
  if (/[\x00-\x20\x7f\\]/.test(example)) return false
  if (example.startsWith('/')) return !example.startsWith('//') && URL.canParse(example, 'http://own')
  const url = URL.parse(example)
  return (
    url !== null && ['https:', 'http:'].includes(url.protocol) && url.username === '' && url.password === ''
  )
}

/**
 * The address as a page uses it.
 * @param files addresses of the files the row's texts name; a name without file keeps an address that answers 404, and the page shows
 *   what it shows without an image
 */
export function imageAddress(text: string, files: MediaAddresses = null): ImageAddress {
  if (text === '') return { url: null, themed: null }
  const light = place(withTheme(text, 'light'), files)
  if (!text.includes('%(theme)s')) return { url: light, themed: null }
  return { url: light, themed: { light, dark: place(withTheme(text, 'dark'), files) } }
}

function place(text: string, files: MediaAddresses): string {
  if (!isMediaName(text)) return text
  return mediaPath + (files !== null && Object.hasOwn(files, text) ? files[text] : text)
}

function withTheme(text: string, theme: 'light' | 'dark'): string {
  return text.replaceAll('%(theme)s', theme)
}
