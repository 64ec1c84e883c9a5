// Pages this room shows itself: when a request cannot be answered with a redirect, and around the end of a session. They work without
// JavaScript, load nothing, and cannot be framed. Every text that comes from outside passes `escaped`.
import { randomBytes } from 'node:crypto'
import type { FastifyReply } from 'fastify'

export interface PageAction {
  label: string
  /** absolute URL, or path of ours; parsed and allowed by the caller */
  href: string
  primary?: boolean
}

export interface PageForm {
  action: string
  fields: Record<string, string>
  submit: string
  /** origin the answer to the form may lead to, besides ours */
  leadsTo?: string
}

export interface Page {
  status: number
  title: string
  /** protocol code for developers, shown small */
  code?: string
  paragraphs: string[]
  actions?: PageAction[]
  form?: PageForm
}

/** Sends a page. @param brandTitle name in the window title */
export function sendPage(reply: FastifyReply, page: Page, brandTitle = 'Postern'): FastifyReply {
  const nonce = randomBytes(16).toString('base64')
  const formTargets =
    page.form === undefined
      ? "'none'"
      : `'self'${page.form.leadsTo === undefined ? '' : ` ${page.form.leadsTo}`}`
  return reply
    .code(page.status)
    .header(
      'Content-Security-Policy',
      `default-src 'none'; style-src 'nonce-${nonce}'; img-src 'self' data:; base-uri 'none'; form-action ${formTargets}; frame-ancestors 'none'`,
    )
    .header('X-Frame-Options', 'DENY')
    .header('Referrer-Policy', 'no-referrer')
    .header('Cache-Control', 'no-store')
    .header('Cross-Origin-Opener-Policy', 'same-origin')
    .type('text/html; charset=utf-8')
    .send(html(page, brandTitle, nonce, reply.request.id))
}

/** Text as it stands in HTML, in an attribute as well. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}

function html(page: Page, brandTitle: string, nonce: string, requestId: string): string {
  const paragraphs = page.paragraphs.map(text => `<p>${escaped(text)}</p>`).join('\n')
  const code = page.code === undefined ? '' : `<dt>Error</dt><dd>${escaped(page.code)}</dd>`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
<title>${escaped(page.title)} – ${escaped(brandTitle)}</title>
<style nonce="${nonce}">${style}</style>
</head>
<body>
<main>
<svg viewBox="0 0 40 40" width="44" height="44" aria-hidden="true"><g fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round"><path d="M9 34V18.5a11 11 0 0 1 22 0V34M5 34h30"/></g><path class="lamp" d="M14 34V19a6 6 0 0 1 12 0v15z"/></svg>
<h1>${escaped(page.title)}</h1>
${paragraphs}
${formHtml(page.form)}${actionsHtml(page.actions ?? [])}
<dl>${code}<dt>Request</dt><dd>${escaped(requestId)}</dd></dl>
</main>
</body>
</html>
`
}

function actionsHtml(actions: PageAction[]): string {
  if (actions.length === 0) return ''
  const links = actions.map(
    ({ label, href, primary }) =>
      `<a${primary === true ? ' class="primary"' : ''} href="${escaped(href)}" rel="noreferrer">${escaped(label)}</a>`,
  )
  return `<nav>${links.join('')}</nav>`
}

function formHtml(form: PageForm | undefined): string {
  if (form === undefined) return ''
  const fields = Object.entries(form.fields)
    .map(([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`)
    .join('')
  return `<form method="post" action="${escaped(form.action)}">${fields}<button>${escaped(form.submit)}</button></form>`
}

const style = `
:root{color-scheme:light dark;--stone:light-dark(#efebe3,#12161a);--panel:light-dark(#fdfcf9,#1d2328);--edge:light-dark(#d9d2c4,#323b42);
--ink:light-dark(#1f2625,#e9ece9);--soft:light-dark(#56605c,#a9b3b0);--accent:light-dark(#1d5a4f,#7bbcaa);--on-accent:light-dark(#fff,#10211d);
--lamp:light-dark(#e9b45a,#f0c374)}
*{box-sizing:border-box}
body{margin:0;min-height:100dvh;display:grid;place-items:center;padding:1.25rem;background:var(--stone);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:28rem;padding:2rem;background:var(--panel);border:1px solid var(--edge);border-radius:14px;
box-shadow:0 1px 2px rgb(0 0 0/.06),0 12px 32px rgb(0 0 0/.08)}
svg{display:block;color:var(--accent)}.lamp{fill:var(--lamp)}
h1{margin:1rem 0 .5rem;font-size:1.4rem;line-height:1.25;font-weight:650;text-wrap:balance}
p{margin:.5rem 0;overflow-wrap:anywhere}
nav{display:grid;gap:.6rem;margin-top:1.5rem}form{margin-top:1.5rem}
a,button{display:block;width:100%;padding:.7rem 1rem;border:1px solid var(--edge);border-radius:9px;background:transparent;color:var(--accent);
font:inherit;font-weight:600;text-align:center;text-decoration:none;cursor:pointer}
a.primary,button{background:var(--accent);border-color:var(--accent);color:var(--on-accent)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
dl{display:grid;grid-template-columns:auto 1fr;gap:.15rem .75rem;margin:1.75rem 0 0;padding-top:1rem;border-top:1px solid var(--edge);
color:var(--soft);font-size:.82rem}dd{margin:0;overflow-wrap:anywhere;font-family:ui-monospace,Menlo,Consolas,monospace}
`
