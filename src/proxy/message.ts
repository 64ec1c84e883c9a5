// HTTP/1.1 messages between the outpost and an upstream: what of an answer goes on, and whether a request has a body.
import type { IncomingMessage } from 'node:http'
import type { Dispatcher } from 'undici'
import { isOurCookie } from './client-headers.ts'

/** Of one hop only (RFC 9110 §7.6.1). */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Whether a request carries content (RFC 9112 §6). */
export function hasContent({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): boolean {
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length === 14 && name.toLowerCase() === 'content-length') return rawHeaders[at + 1] !== '0'
    if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') return true
  }
  return false
}

/**
 * The upstream's headers as it sent them, without those of its own hop, and without cookies under our names: an application could
 * otherwise plant a session of its choice for the whole domain.
 */
export function answerHeaders(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  const out: string[] = []
  if (!Array.isArray(raw)) return out
  let listed: string[] | null = null
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = textOf(raw[at])
    const lower = name.toLowerCase()
    const value = textOf(raw[at + 1])
    if (lower === 'connection') listed = value.toLowerCase().split(',')
    if (lower === 'set-cookie' && isOurCookie((value.split('=', 1)[0] ?? '').trim())) continue
    if (!hopByHop.has(lower)) out.push(name, value)
  }
  for (const part of listed ?? []) {
    const name = part.trim()
    for (let at = out.length - 2; at >= 0; at -= 2)
      if ((out[at] as string).toLowerCase() === name) out.splice(at, 2)
  }
  return out
}

function textOf(value: Buffer | string | undefined): string {
  return typeof value === 'string' ? value : (value?.toString('latin1') ?? '')
}
