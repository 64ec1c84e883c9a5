// A form that was sent after its session had ended: kept through the login in a sealed cookie, then sent again by a page. Only where the
// operator wants it, only small forms, once, and only forms that a page of the same origin sent, since sending one again for another
// site would take away what protects the application from that site.
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { cookieValues } from '../http/cookies.ts'
import { requestId } from '../http/request-id.ts'
import { escapeHtml, pageDocument, pagePolicy } from './error-page.ts'
import { answer, browserOrigin, type Exchange } from './exchange.ts'
import { startLogin } from './login.ts'
import { sealText, transactionCookie, transactionSeconds, unsealText } from './transaction.ts'

/** What fits into one cookie with its seal. */
const maxBytes = 2_700
const bodyTimeoutMs = 5_000

/** Whether the body of this request may be kept. */
export function isReplayable(x: Exchange): boolean {
  const { headers, method } = x.req
  const length = Number(headers['content-length'] ?? Number.NaN)
  return (
    method === 'POST' &&
    headers['content-type']?.toLowerCase().split(';', 1)[0]?.trim() === 'application/x-www-form-urlencoded' &&
    headers['transfer-encoding'] === undefined &&
    length <= Math.min(x.parts.replayBytes, maxBytes) &&
    headers['sec-fetch-site'] === 'same-origin' &&
    headers['sec-fetch-mode'] === 'navigate' &&
    headers.origin === browserOrigin(x)
  )
}

/** Keeps the form and starts the login. @param target checked, absolute */
export async function keepAndLogin(x: Exchange, target: string): Promise<void> {
  const body = await readBody(x.req)
  const { app } = x
  const onTransaction = (id: string) => {
    if (body === null) return
    const cookie = transactionCookie(app, nameOf(x), sealText(app, body, id), transactionSeconds)
    x.cookies = [...(x.cookies ?? []), cookie]
  }
  return startLogin(x, target, { onTransaction })
}

/** The form of this transaction; its cookie goes. @returns null when there is none */
export function takeForm(x: Exchange, transactionId: string): string | null {
  const [value] = cookieValues(x.head.cookie, nameOf(x))
  if (value === undefined) return null
  const form = unsealText(x.app, value, transactionId)
  if (form !== null) x.cookies = [...(x.cookies ?? []), transactionCookie(x.app, nameOf(x), '', 0)]
  return form
}

/** A page that sends the form again by itself, or at a click where scripts are off. */
export function answerReplay(x: Exchange, target: string, form: string): void {
  const nonce = randomBytes(16).toString('base64url')
  const fields = [...new URLSearchParams(form)].map(
    ([name, value]) => `<input type="hidden" name="${escapeHtml(name)}" value="${escapeHtml(value)}">`,
  )
  const actions = `<form method="post" action="${escapeHtml(target)}">${fields.join('')}<button>Continue</button></form>
<script nonce="${nonce}">HTMLFormElement.prototype.submit.call(document.querySelector('form'))</script>`
  const text = 'You are signed in again. What you sent is being sent once more.'
  const page = pageDocument({ title: 'Signed in', text, requestId: requestId(x.req), actions })
  const policy = pagePolicy({ script: `'nonce-${nonce}'`, formAction: new URL(target).origin })
  answer(
    x,
    200,
    [
      ...['Content-Type', 'text/html; charset=utf-8', 'Cache-Control', 'no-store'],
      ...['Content-Security-Policy', policy, 'X-Content-Type-Options', 'nosniff'],
      // An application may check where a form comes from: its own origin, without the address of the callback.
      ...['Referrer-Policy', 'origin'],
    ],
    page,
  )
}

/** The whole body, whose length is known to be small; null when it does not come, or is no text. */
async function readBody(req: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  const late = setTimeout(() => req.destroy(), bodyTimeoutMs)
  try {
    for await (const chunk of req) chunks.push(chunk as Buffer)
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch {
    return null
  } finally {
    clearTimeout(late)
  }
}

function nameOf(x: Exchange): string {
  return `${x.app.cookieName}_form`
}
