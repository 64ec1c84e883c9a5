// Claims out of a verified token or an introspection answer: known keys only, missing ones take their zero value.
import type { Claims } from '../wire/outpost.ts'

/**
 * @param rawToken the token the payload comes from
 * @returns null when the payload names nobody (`sub` missing or empty)
 */
export function readClaims(payload: Record<string, unknown>, rawToken: string): Claims | null {
  const sub = text(payload.sub)
  if (sub === '') return null
  return {
    sub,
    exp: typeof payload.exp === 'number' ? Math.floor(payload.exp) : 0,
    email: text(payload.email),
    email_verified: payload.email_verified === true,
    name: text(payload.name),
    preferred_username: text(payload.preferred_username),
    groups: texts(payload.groups),
    entitlements: texts(payload.entitlements),
    sid: text(payload.sid),
    ak_proxy: proxyClaims(payload.ak_proxy),
    raw_token: rawToken,
  }
}

function proxyClaims(value: unknown): Exclude<Claims['ak_proxy'], null> {
  if (!isRecord(value)) return {}
  const { user_attributes: attributes, backend_override: backend, host_header: host } = value
  return {
    ...(isRecord(attributes) ? { user_attributes: attributes } : {}),
    ...(typeof backend === 'string' ? { backend_override: backend } : {}),
    ...(typeof host === 'string' ? { host_header: host } : {}),
    is_superuser: value.is_superuser === true,
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(entry => typeof entry === 'string') : []
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
