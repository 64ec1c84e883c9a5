// What an image is, told by its first bytes; neither its name nor what the client says of it counts.

export interface ImageType {
  extension: 'png' | 'jpg' | 'gif' | 'webp' | 'avif' | 'ico' | 'svg'
  mimeType: string
}

const types: Record<ImageType['extension'], string> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  gif: 'image/gif',
  webp: 'image/webp',
  avif: 'image/avif',
  ico: 'image/x-icon',
  svg: 'image/svg+xml',
}

export const imageExtensions = Object.keys(types) as ImageType['extension'][]

/** @param extension one of `imageExtensions` */
export function mimeTypeOf(extension: string): string {
  return types[extension as ImageType['extension']] ?? 'application/octet-stream'
}

/**
 * The type of an image. `svg` only says that the bytes begin as markup does: whether it is a harmless SVG is for `svgProblem` to say.
 * @returns undefined for anything that is none of the types served
 */
export function imageType(bytes: Uint8Array): ImageType | undefined {
  const extension = detect(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  return extension === undefined ? undefined : { extension, mimeType: types[extension] }
}

function detect(bytes: Buffer): ImageType['extension'] | undefined {
  const text = (from: number, to: number) => bytes.toString('latin1', from, to)
  if (text(0, 8) === '\x89PNG\r\n\x1a\n' && text(12, 16) === 'IHDR') return 'png'
  if (text(0, 3) === '\xff\xd8\xff') return 'jpg'
  if (text(0, 6) === 'GIF87a' || text(0, 6) === 'GIF89a') return 'gif'
  if (text(0, 4) === 'RIFF' && text(8, 12) === 'WEBP') return 'webp'
  if (isAvif(bytes)) return 'avif'
  if (isIcon(bytes)) return 'ico'
  if (/^(?:\xef\xbb\xbf)?[ \t\r\n]*</.test(text(0, 64))) return 'svg'
  return undefined
}

/** ISO base media file format: a box `ftyp` whose brands hold AVIF's. */
function isAvif(bytes: Buffer): boolean {
  if (bytes.length < 16 || bytes.toString('latin1', 4, 8) !== 'ftyp') return false
  const end = Math.min(bytes.readUInt32BE(0), bytes.length, 256)
  for (let at = 8; at + 4 <= end; at += 4)
    if (at !== 12 && ['avif', 'avis'].includes(bytes.toString('latin1', at, at + 4))) return true
  return false
}

/** A directory of icons: type 1, and each of its entries within the file. */
function isIcon(bytes: Buffer): boolean {
  if (bytes.length < 22 || bytes.readUInt32LE(0) !== 0x00010000) return false
  const count = bytes.readUInt16LE(4)
  if (count === 0 || count > 64 || bytes.length < 6 + 16 * count) return false
  for (let entry = 0; entry < count; entry++) {
    const at = 6 + 16 * entry
    if (bytes.readUInt32LE(at + 8) + bytes.readUInt32LE(at + 12) > bytes.length) return false
  }
  return true
}
