// Frames of `/ws/outpost/<uuid>/`, both directions: `{"instruction": <int>, "args": <object>}`.

export const instruction = { ack: 0, hello: 1, triggerUpdate: 2, providerSpecific: 3, sessionEnd: 4 } as const

export interface Frame {
  instruction: number
  args: Record<string, unknown>
}

/** HELLO, sent by an outpost on connect and every 10 s. `features`, `revision`, `last_revocation` are our additions. */
export interface HelloArgs {
  version: string
  buildHash: string
  /** id of this process */
  uuid: string
  golangVersion: string
  opensslEnabled: boolean
  opensslVersion: string
  fipsEnabled: boolean
  hostname?: string
  /** e.g. `session_end.receipts` */
  features: string[]
  /** revision of the configuration this instance has applied */
  revision: number
  /** id of the last revocation this instance has applied */
  last_revocation: number
}

/**
 * SESSION_END: `session_id` is 64 hex digits, or empty when everything of `user` (a `sub`) ends, or what the user has at the provider
 * `client_id`, or everything at that provider. One that does not know `client_id` ends more of a user, never less.
 */
export interface SessionEndArgs {
  type: 'event.session.end'
  session_id: string
  /** id of the revocation, for the receipt */
  id?: number
  user?: string
  client_id?: string
  /** ms since epoch at which it was made: what is repeated later must not end what began after it */
  at?: number
}

/** Receipt an outpost sends for a SESSION_END that carried an `id`. */
export interface SessionEndApplied {
  sub_type: 'session_end.applied'
  id: number
  /** milliseconds from receiving the frame to having applied it */
  ms: number
}

/**
 * Parses one text frame.
 * @returns null when the text is not JSON, has no integer `instruction`, or `args` is present and not an object
 */
export function parseFrame(text: string): Frame | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (!isRecord(value) || !Number.isInteger(value.instruction)) return null
  const args = value.args ?? {}
  return isRecord(args) ? { instruction: value.instruction as number, args } : null
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
