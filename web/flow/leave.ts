import { safeTarget } from '../shared/target.ts'
import type { FlowInfo } from './challenge.ts'

/** Address that drops the flow's progress and opens this page anew. */
export function startAgainUrl(info: FlowInfo | undefined): string {
  return cancelTo(info, location.pathname + location.search)
}

/** Address that drops the flow's progress and goes to the library (which asks to sign in when nobody is). */
export function cancelUrl(info: FlowInfo | undefined): string {
  return cancelTo(info, '/if/user/')
}

/** Address that ends the session and comes back here, to go on as somebody else. */
export function switchAccountUrl(): string {
  return `/flows/-/default/invalidation/?next=${encodeURIComponent(location.pathname + location.search)}`
}

/** The server's link when a browser may follow it; undefined otherwise. */
export function linkOf(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '') return undefined
  return safeTarget(value, location.origin) ?? undefined
}

function cancelTo(info: FlowInfo | undefined, next: string): string {
  const cancel = linkOf(info?.cancel_url)
  if (cancel === undefined) return next
  const url = new URL(cancel)
  url.searchParams.set('next', next)
  return url.href
}
