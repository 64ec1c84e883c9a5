// The challenges of the flow executor as this page reads them: every field but `component` may be missing.

export interface FieldError {
  string: string
  code: string
}

export interface FlowInfo {
  title?: string
  background?: string
  background_themed_urls?: { light?: string; dark?: string } | null
  cancel_url?: string
  layout?: string
}

export interface Challenge {
  component: string
  flow_info?: FlowInfo
  response_errors?: Record<string, FieldError[]>
  pending_user?: string
  pending_user_avatar?: string
  [key: string]: unknown
}

/** What a stage sends back: everything but `component`. */
export type Answer = Record<string, unknown>

/** What every stage element is given. */
export interface StageProps {
  challenge: Challenge
  /** id of the request that brought the challenge; empty when the server sent none */
  requestId: string
  /** an answer is on its way */
  busy: boolean
  submit(answer: Answer): void
}

/** @returns the value as a challenge, or null when it is no object with a `component` */
export function parseChallenge(value: unknown): Challenge | null {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return null
  return typeof (value as Record<string, unknown>).component === 'string' ? (value as Challenge) : null
}

/** A text field of a challenge; empty when it is missing or no text. */
export function textOf(challenge: Challenge, key: string): string {
  const value = challenge[key]
  return typeof value === 'string' ? value : ''
}

/** A list field of a challenge; entries that are no objects are left out. */
export function listOf(challenge: Challenge, key: string): Record<string, unknown>[] {
  const value = challenge[key]
  if (!Array.isArray(value)) return []
  return value.filter(entry => entry !== null && typeof entry === 'object')
}

/** The messages for one field, joined; undefined when there are none. */
export function errorFor(challenge: Challenge, field: string): string | undefined {
  const messages = (challenge.response_errors?.[field] ?? []).map(error => error.string)
  return messages.length === 0 ? undefined : messages.join(' ')
}

/** All messages that belong to none of the shown fields. */
export function otherErrors(challenge: Challenge, shown: readonly string[]): string[] {
  return Object.entries(challenge.response_errors ?? {})
    .filter(([field]) => !shown.includes(field))
    .flatMap(([, errors]) => errors.map(error => error.string))
}
