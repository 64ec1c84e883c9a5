// Answers to requests that failed for a reason of ours: short, with the id to look for in the log, never a cause or a stack.
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'

/** Thrown by `createListener` when an address cannot be used; the message names address, setting and what to do. */
export class ListenError extends Error {
  readonly code: string
  constructor(message: string, code: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ListenError'
    this.code = code
  }
}

/**
 * Answers 500 as JSON or text, whichever the client accepts. When headers are already out, the connection is cut, so that a
 * broken answer cannot be taken for a whole one.
 */
export function answerInternalError(request: IncomingMessage, response: ServerResponse, id: string): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  for (const name of response.getHeaderNames()) response.removeHeader(name)
  const wantsJson = /\bjson\b/.test(request.headers.accept ?? '') || (request.url ?? '').startsWith('/api/')
  const body = wantsJson
    ? JSON.stringify({ detail: 'Internal server error.', request_id: id })
    : `Internal server error.\nRequest id: ${id}\n`
  response.writeHead(500, {
    'content-type': wantsJson ? 'application/json' : 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** Writes a bare HTTP/1.1 answer on a socket that has no ServerResponse (upgrades, unreadable requests) and ends it. */
export function answerOnSocket(
  socket: Duplex,
  status: number,
  text = `${STATUS_CODES[status] ?? ''}\n`,
): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  )
}
