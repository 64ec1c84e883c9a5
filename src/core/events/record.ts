// Events: what happened, by whom, written in the transaction of the change itself, so that a change without event cannot exist.
import { hash } from 'node:crypto'
import type { Queryable } from '../../pg/db.ts'
import { insertEvent } from './events.sql.ts'

export type EventAction =
  | 'login'
  | 'login_failed'
  | 'logout'
  | 'user_write'
  | 'suspicious_request'
  | 'password_set'
  | 'secret_view'
  | 'secret_rotate'
  | 'authorize_application'
  | 'flow_execution'
  | 'policy_exception'
  | 'property_mapping_exception'
  | 'system_task_exception'
  | 'system_exception'
  | 'configuration_error'
  | 'configuration_warning'
  | 'model_created'
  | 'model_updated'
  | 'model_deleted'
  | 'email_sent'
  | `custom_${string}`

export interface EventUser {
  pk: number
  username: string
  email: string
}

export interface NewEvent {
  action: EventAction
  /** e.g. `authentik.core` */
  app: string
  user?: EventUser | null
  /** JSON; secrets in it are masked by key and by form */
  context?: Record<string, unknown>
  clientIp?: string
  revocationId?: number
}

const masked = '********************'
const secretKey = /(^|_)(password|secret|token|key|code|hash|cookie|authorization|assertion|kubeconfig)$/i
const allowedKeys = new Set(['field_key', 'country_code', 'status_code', 'kid', 'session_key', 'tokens'])
const jwtForm = /^[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+$/

/** @returns id of the event */
export async function recordEvent(db: Queryable, event: NewEvent): Promise<string> {
  return insertEvent(db, {
    action: event.action,
    app: event.app,
    user: event.user ?? { is_anonymous: true },
    context: sanitise(event.context ?? {}),
    clientIp: event.clientIp ?? null,
    revocationId: event.revocationId ?? null,
  })
}

/** A copy without secrets, at most 6 levels deep and 32 KiB as JSON; a larger one is replaced by its size and SHA-256. */
export function sanitise(context: Record<string, unknown>): Record<string, unknown> {
  const clean = mask(context, 0) as Record<string, unknown>
  const text = JSON.stringify(clean)
  if (text.length <= 32_768) return clean
  return { truncated: true, size: text.length, sha256: hash('sha256', text) }
}

function mask(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return jwtForm.test(value) ? masked : value
  if (value === null || typeof value !== 'object') return value
  if (depth >= 6) return '…'
  if (Array.isArray(value)) return value.map(item => mask(item, depth + 1))
  const out: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value))
    out[key] = secretKey.test(key) && !allowedKeys.has(key) && item !== null ? masked : mask(item, depth + 1)
  return out
}
