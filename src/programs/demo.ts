// The application `npm start` puts behind the outposts on a first start: it knows nobody and shows what the identity headers say.
import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'

export interface Demo {
  /** e.g. `http://127.0.0.1:40123` */
  url: string
  close(): Promise<void>
}

/** Starts the demo application on a free port of the loopback interface. */
export async function startDemo(): Promise<Demo> {
  const server = createServer(answer)
  const sockets = new WebSocketServer({ server, path: '/live' })
  sockets.on('connection', socket => {
    const send = () => socket.send(JSON.stringify({ at: new Date().toISOString() }))
    const timer = setInterval(send, 1000)
    socket.on('close', () => clearInterval(timer))
    socket.on('error', () => {})
    send()
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      for (const socket of sockets.clients) socket.terminate()
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const path = new URL(request.url ?? '/', 'http://demo').pathname
  if (path === '/api/whoami') {
    response.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' })
    response.end(JSON.stringify({ ...identityOf(request.headers), url: request.url, method: request.method }))
    return
  }
  const nonce = randomBytes(16).toString('base64url')
  response.writeHead(200, {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Content-Security-Policy': `default-src 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  })
  response.end(page(request, nonce))
}

/** The identity headers of a request, without their common prefix. */
function identityOf(headers: IncomingHttpHeaders): Record<string, string> {
  const identity: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers))
    if (name.startsWith('x-authentik-')) identity[name.slice('x-authentik-'.length)] = String(value)
  return identity
}

function page(request: IncomingMessage, nonce: string): string {
  const identity = identityOf(request.headers)
  const name = identity.name || identity.username || ''
  const rows = Object.entries(identity)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(
      ([header, value]) =>
        `<tr><th scope="row">x-authentik-${escaped(header)}</th><td>${escaped(header === 'jwt' ? `${value.slice(0, 24)}… (${value.length} characters)` : value) || '<span class="empty">empty</span>'}</td></tr>`,
    )
    .join('')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Demo application</title>
<style nonce="${nonce}">${style}</style>
</head>
<body>
<main>
<header>
<div class="avatar" aria-hidden="true">${escaped(initials(name))}</div>
<div>
<p class="kicker">Demo application behind Postern</p>
<h1>${name === '' ? 'Nobody is signed in' : `Hello, ${escaped(name)}`}</h1>
<p class="sub">${identity.email ? escaped(identity.email) : 'no e-mail address'}${identity.groups ? ` · ${escaped(identity.groups.split('|').join(', '))}` : ''}</p>
</div>
<a class="button" href="/outpost.goauthentik.io/sign_out">Sign out</a>
</header>
<section class="tiles">
<div class="tile"><h2>Outpost</h2><p>${escaped(identity['meta-outpost'] ?? '–')}</p></div>
<div class="tile"><h2>You asked for</h2><p><code>${escaped(`${request.method ?? ''} ${request.url ?? ''}`)}</code></p></div>
<div class="tile"><h2>WebSocket</h2><p><span id="dot"></span><span id="live" role="status">connecting</span></p></div>
</section>
<section>
<h2>Identity headers</h2>
<p class="sub">This application has no login. Everything it knows about you came in these request headers; the same headers sent by a browser never arrive.</p>
<div class="table"><table>${rows}</table></div>
</section>
</main>
<script nonce="${nonce}">${script}</script>
</body>
</html>`
}

function initials(name: string): string {
  const words = name.split(/\s+/).filter(word => word !== '')
  return words.length === 0
    ? '?'
    : [words[0], words.length > 1 ? words.at(-1) : ''].map(word => word?.[0] ?? '').join('')
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}

const script = `
const live = document.getElementById('live'), dot = document.getElementById('dot');
const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/live');
socket.onmessage = event => { live.textContent = 'open, ' + new Date(JSON.parse(event.data).at).toLocaleTimeString(); dot.className = 'on'; };
socket.onclose = () => { live.textContent = 'closed'; dot.className = 'off'; };
`

const style = `
:root { color-scheme: light dark; --ground: #f4f5f7; --card: #fff; --ink: #16202c; --soft: #566375; --line: #dfe4ea; --accent: #0f6b5c; --on-accent: #fff }
@media (prefers-color-scheme: dark) { :root { --ground: #0e1419; --card: #172028; --ink: #e8eef4; --soft: #9aa8b7; --line: #2a3641; --accent: #4cc2a8; --on-accent: #06231d } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 60rem; margin: 0 auto; padding: clamp(1rem, 4vw, 3rem) }
header { display: flex; gap: 1.25rem; align-items: center; flex-wrap: wrap; margin-bottom: 2rem }
header > div:nth-child(2) { flex: 1 1 16rem }
h1 { margin: 0; font-size: clamp(1.5rem, 5vw, 2.1rem); line-height: 1.2 }
h2 { margin: 0 0 .25rem; font-size: 1rem }
p { margin: 0 }
.kicker { color: var(--accent); font-weight: 600; font-size: .875rem }
.sub { color: var(--soft) }
.avatar { width: 4rem; height: 4rem; border-radius: 50%; background: var(--accent); color: var(--on-accent); display: grid; place-items: center; font-size: 1.5rem; font-weight: 600; text-transform: uppercase }
.button { background: var(--accent); color: var(--on-accent); padding: .6rem 1.1rem; border-radius: .5rem; text-decoration: none; font-weight: 600 }
.button:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: 1rem; margin-bottom: 2rem }
.tile, .table { background: var(--card); border: 1px solid var(--line); border-radius: .75rem }
.tile { padding: 1rem 1.25rem }
.tile h2 { color: var(--soft); font-size: .8125rem; font-weight: 600 }
.tile p { overflow-wrap: anywhere }
#dot { display: inline-block; width: .6rem; height: .6rem; border-radius: 50%; background: var(--soft); margin-right: .5rem }
#dot.on { background: #2aa876 } #dot.off { background: #d9534f }
.table { margin-top: 1rem; overflow: hidden }
table { border-collapse: collapse; width: 100% }
tr + tr { border-top: 1px solid var(--line) }
th, td { text-align: left; padding: .55rem 1.25rem; vertical-align: top; font-size: .9rem; overflow-wrap: anywhere }
th { color: var(--soft); font-weight: 500; font-family: ui-monospace, monospace; width: 17rem }
.empty { color: var(--soft); font-style: italic }
@media (max-width: 40rem) { th, td { display: block; width: auto; padding: .55rem 1rem 0 } td { padding: 0 1rem .55rem } }
`
