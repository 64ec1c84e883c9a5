// What media files are called: a name that people choose, and an address that follows from the content. Only addresses are paths.
import { hash } from 'node:crypto'
import { imageExtensions } from './image-type.ts'

/** Where media files are served, for anybody. */
export const mediaPath = '/media/public/'

const address = new RegExp(`^([0-9a-f]{2})/\\1[0-9a-f]{62}\\.(?:${imageExtensions.join('|')})$`)
const segment = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/

/** True for `<aa>/<64 hex digits>.<extension>`: such a path leads nowhere but to a file this program wrote. */
export function isContentAddress(path: string): boolean {
  return address.test(path)
}

/** The address of a content: `<aa>/<sha256>.<extension>`. */
export function contentAddress(bytes: Uint8Array, extension: string): string {
  const digest = hash('sha256', bytes)
  return `${digest.slice(0, 2)}/${digest}.${extension}`
}

/**
 * True for a name a file may have: letters, digits and `._-`, in parts joined by single slashes, none beginning with a dot; at most 255
 * characters; not of the form of an address.
 */
export function isMediaName(name: string): boolean {
  return name.length <= 255 && name.split('/').every(part => segment.test(part)) && !isContentAddress(name)
}

/** A name made of the name a browser gave a file: its last part, every other character a dash. Empty when nothing remains. */
export function nameFromFile(filename: string): string {
  const last = filename.split(/[/\\]/).at(-1) ?? ''
  const name = last
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[.-]+|-+$/g, '')
  return name.length <= 255 ? name : name.slice(-255).replace(/^[.-]+/, '')
}
