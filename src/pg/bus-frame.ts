// What travels in a notification: several messages of one sender, or the number of a row that holds them.
import type { BusBody } from './bus.ts'

export interface BusMessage {
  type: string
  body: BusBody
}

/** A notification's payload ends below 8,000 bytes; some room is left. */
export const longestFrame = 7900

export type BusFrame =
  | { src: string; messages: BusMessage[] }
  /** the messages are in this row of `bus_blobs` */
  | { src: string; blob: string }
  /** a sender asking itself whether it hears */
  | { src: string; nonce: string }

/** Text of a frame. */
export function encodeFrame(frame: BusFrame): string {
  if ('blob' in frame) return JSON.stringify({ v: 1, s: frame.src, b: frame.blob })
  if ('nonce' in frame) return JSON.stringify({ v: 1, s: frame.src, n: frame.nonce })
  return JSON.stringify({ v: 1, s: frame.src, m: frame.messages.map(({ type, body }) => [type, body]) })
}

/** @returns undefined for anything that is not a frame of this version: anybody in the database may notify */
export function decodeFrame(text: string): BusFrame | undefined {
  const value = parse(text)
  if (!isRecord(value) || value.v !== 1 || typeof value.s !== 'string') return undefined
  const src = value.s
  if (typeof value.b === 'string' && /^\d{1,19}$/.test(value.b)) return { src, blob: value.b }
  if (typeof value.n === 'string') return { src, nonce: value.n }
  if (!Array.isArray(value.m)) return undefined
  const messages: BusMessage[] = []
  for (const pair of value.m as unknown[]) {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string' || !isBody(pair[1])) return undefined
    messages.push({ type: pair[0], body: pair[1] })
  }
  return { src, messages }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isBody(value: unknown): value is BusBody {
  return (
    isRecord(value) &&
    Object.values(value).every(
      entry => entry === null || ['string', 'number', 'boolean'].includes(typeof entry),
    )
  )
}
