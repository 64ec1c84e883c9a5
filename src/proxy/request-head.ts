// What the outpost reads from a request's headers, in one pass over the raw list: this runs for every request, and Node's own header
// object would cost more than the rest of the walk.
import type { IncomingMessage } from 'node:http'

export interface RequestHead {
  host: string | undefined
  cookie: string | undefined
  authorization: string | undefined
  userAgent: string | undefined
  accept: string | undefined
  fetchMode: string | undefined
  requestedWith: string | undefined
  upgrade: string | undefined
  forwardedFor: string | undefined
  forwardedHost: string | undefined
  forwardedProto: string | undefined
  forwardedUri: string | undefined
  originalUrl: string | undefined
  originalUri: string | undefined
  /** One of the headers that name host or URL came twice: nobody can say which one is meant. */
  ambiguous: boolean
}

type Field = Exclude<keyof RequestHead, 'ambiguous'>

const fieldOf = new Map<string, Field>([
  ['host', 'host'],
  ['cookie', 'cookie'],
  ['authorization', 'authorization'],
  ['user-agent', 'userAgent'],
  ['accept', 'accept'],
  ['sec-fetch-mode', 'fetchMode'],
  ['x-requested-with', 'requestedWith'],
  ['upgrade', 'upgrade'],
  ['x-forwarded-for', 'forwardedFor'],
  ['x-forwarded-host', 'forwardedHost'],
  ['x-forwarded-proto', 'forwardedProto'],
  ['x-forwarded-uri', 'forwardedUri'],
  ['x-original-url', 'originalUrl'],
  ['x-original-uri', 'originalUri'],
])

/** Repetitions of these are lists by definition (RFC 9110 §5.3, RFC 6265 §5.4). */
const listSeparator: Partial<Record<Field, string>> = {
  cookie: '; ',
  accept: ', ',
  forwardedFor: ', ',
  forwardedProto: ', ',
  upgrade: ', ',
}

/** Header names as clients write them, remembered with their meaning; clients repeat the same few spellings. */
const spellings = new Map<string, Field | null>()
const maxSpellings = 1024

/** Reads the headers the outpost decides by. Repeated ones are joined where they are lists, else the head is `ambiguous`. */
export function readHead(req: Pick<IncomingMessage, 'rawHeaders'>): RequestHead {
  const head: RequestHead = {
    host: undefined,
    cookie: undefined,
    authorization: undefined,
    userAgent: undefined,
    accept: undefined,
    fetchMode: undefined,
    requestedWith: undefined,
    upgrade: undefined,
    forwardedFor: undefined,
    forwardedHost: undefined,
    forwardedProto: undefined,
    forwardedUri: undefined,
    originalUrl: undefined,
    originalUri: undefined,
    ambiguous: false,
  }
  const raw = req.rawHeaders
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] as string
    let field = spellings.get(name)
    if (field === undefined) field = learn(name)
    if (field === null) continue
    const before = head[field]
    if (before === undefined) head[field] = raw[at + 1]
    else {
      const separator = listSeparator[field]
      if (separator !== undefined) head[field] = before + separator + raw[at + 1]
      else if (field !== 'userAgent' && field !== 'fetchMode' && field !== 'requestedWith')
        head.ambiguous = true
    }
  }
  return head
}

function learn(name: string): Field | null {
  if (spellings.size >= maxSpellings) spellings.clear()
  const field = fieldOf.get(name.toLowerCase()) ?? null
  spellings.set(name, field)
  return field
}

/**
 * True when the client says that it does not navigate, so that a redirect to a login page would help nobody: a script's fetch, an
 * upgrade, or a client that takes neither HTML nor everything.
 */
export function saysNotNavigating(head: RequestHead): boolean {
  if (head.fetchMode !== undefined && head.fetchMode.toLowerCase() !== 'navigate') return true
  if (head.requestedWith !== undefined || head.upgrade !== undefined) return true
  if (head.accept === undefined) return false
  const accept = head.accept.toLowerCase()
  return !accept.includes('text/html') && !accept.includes('application/xhtml+xml') && !accept.includes('*/*')
}
