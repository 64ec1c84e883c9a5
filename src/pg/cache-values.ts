// Keys and values of the cache as the database holds them.
import { createHash } from 'node:crypto'
import { deflateRawSync, inflateRawSync } from 'node:zlib'

/** Changes with the form of values, so that programs of two versions never read each other's. */
const format = 1
const compressFrom = 1024
/** Longest value, encoded. */
export const largestValue = 256 * 1024

/** 16 bytes that stand for a key in one generation of its namespace. */
export function cacheKey(namespace: string, generation: bigint, key: string): Buffer {
  const parts = [namespace, String(generation), String(format), key]
  return createHash('sha256').update(JSON.stringify(parts)).digest().subarray(0, 16)
}

/** JSON, compressed when long; the first byte says which. Undefined when there is no JSON form or it is too long. */
export function encodeValue(value: unknown): Buffer | undefined {
  const json = JSON.stringify(value)
  if (json === undefined) return undefined
  const plain = Buffer.from(json)
  const body =
    plain.length >= compressFrom ? [Buffer.of(1), deflateRawSync(plain, { level: 1 })] : [Buffer.of(0), plain]
  const encoded = Buffer.concat(body)
  return encoded.length <= largestValue ? encoded : undefined
}

/** @throws Error when it is not what `encodeValue` makes */
export function decodeValue(encoded: Buffer): unknown {
  const body = encoded.subarray(1)
  const json = encoded[0] === 1 ? inflateRawSync(body, { maxOutputLength: 64 * 1024 * 1024 }) : body
  return freeze(JSON.parse(json.toString('utf8')))
}

/** Cached values are shared by everybody who asks, so nobody may change them. */
function freeze(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value
  for (const inner of Object.values(value)) freeze(inner)
  return Object.freeze(value)
}
