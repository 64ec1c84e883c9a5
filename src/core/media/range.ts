// Byte ranges and entity tags of a file that never changes under its tag (RFC 9110 §13, §14).

export interface ByteRange {
  start: number
  /** inclusive */
  end: number
}

/**
 * What of a file is asked for.
 * @param header `Range`; anything but one range of bytes is ignored, as RFC 9110 §14.2 allows
 * @param ifRange `If-Range`; anything but the entity tag itself asks for the whole
 * @param size in bytes
 * @returns null for the whole file, `unsatisfiable` for a range that begins behind its end
 */
export function byteRange(
  header: string | undefined,
  ifRange: string | undefined,
  etag: string,
  size: number,
): ByteRange | 'unsatisfiable' | null {
  if (header === undefined || (ifRange !== undefined && ifRange !== etag)) return null
  const match = /^bytes=[ \t]*(\d{0,15})-(\d{0,15})[ \t]*$/i.exec(header)
  const [, first = '', last = ''] = match ?? []
  if (match === null || (first === '' && last === '')) return null
  if (first === '') {
    const length = Math.min(Number(last), size)
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size - 1 }
  }
  const start = Number(first)
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (last !== '' && Number(last) < start) return null
  return start >= size ? 'unsatisfiable' : { start, end }
}

/** True when `If-None-Match` names the tag; weak tags count as well (RFC 9110 §13.1.2). */
export function noneMatch(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.trim() === '*' || header.split(',').some(one => one.trim().replace(/^W\//, '') === etag)
}
