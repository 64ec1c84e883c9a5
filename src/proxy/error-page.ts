// The page people see when something failed: one file without scripts and without anything fetched from elsewhere, in light and dark.
import { createHash } from 'node:crypto'

export interface ErrorPage {
  title: string
  text: string
  requestId: string
  /** where "Try again" leads; null: no such link */
  again: string | null
}

const style = `
:root { color-scheme: light dark; --back: #f2f4f8; --card: #fff; --ink: #18202e; --dim: #566176; --line: #dfe4ec; --main: #2f5bd8; --on: #fff }
@media (prefers-color-scheme: dark) { :root { --back: #10141c; --card: #1a202c; --ink: #eef1f6; --dim: #a3adbf; --line: #2c3546; --main: #86a7ff; --on: #10141c } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--back); color: var(--ink); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
main { width: 100%; max-width: 26rem; padding: 2.25rem 2rem; background: var(--card); border: 1px solid var(--line); border-radius: 14px; box-shadow: 0 8px 30px rgb(0 0 0 / .07) }
svg { display: block; width: 2.5rem; height: 2.5rem; margin-bottom: 1.1rem; color: var(--main) }
h1 { margin: 0 0 .6rem; font-size: 1.35rem; line-height: 1.25 }
p { margin: 0 0 1.5rem; color: var(--dim); overflow-wrap: anywhere }
nav { display: flex; flex-wrap: wrap; gap: .75rem }
a, button { flex: 1 1 8rem; font: inherit; cursor: pointer; background: none; padding: .6rem 1rem; border: 1px solid var(--line); border-radius: 8px; color: var(--ink); text-align: center; text-decoration: none; font-weight: 550 }
a.first, button { background: var(--main); border-color: var(--main); color: var(--on) }
a:focus-visible, button:focus-visible { outline: 3px solid var(--main); outline-offset: 2px }
footer { margin-top: 1.75rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--dim); font-size: .8rem; overflow-wrap: anywhere }
code { font-family: ui-monospace, Menlo, Consolas, monospace }
`

const styleSource = `'sha256-${createHash('sha256').update(style).digest('base64')}'`

/**
 * Content security policy of a page: exactly its style, and what is named.
 * @param allowed further directives, e.g. `form-action https://app.example`
 */
export function pagePolicy(allowed: { script?: string; formAction?: string } = {}): string {
  const script = allowed.script === undefined ? '' : ` script-src ${allowed.script};`
  const form = allowed.formAction ?? "'none'"
  return `default-src 'none'; style-src ${styleSource};${script} base-uri 'none'; form-action ${form}; frame-ancestors 'none'`
}

export const errorPagePolicy = pagePolicy()

/** The whole document; every part is escaped. */
export function errorPage({ title, text, requestId, again }: ErrorPage): string {
  const retry = again === null ? '' : `<a class="first" href="${escapeHtml(again)}">Try again</a>`
  return pageDocument({ title, text, requestId, actions: `${retry}<a href="/">Go to home</a>` })
}

/** @param page.actions finished HTML; title and text are escaped here */
export function pageDocument({
  title,
  text,
  requestId,
  actions,
}: Pick<ErrorPage, 'title' | 'text' | 'requestId'> & { actions: string }): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M4 21V8.5L12 3l8 5.5V21"/><path d="M9.5 21v-7h5v7"/><path d="M2.5 21h19"/></svg>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(text)}</p>
<nav>${actions}</nav>
<footer>Request <code>${escapeHtml(requestId)}</code></footer>
</main>
</body>
</html>
`
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, char => `&#${char.charCodeAt(0)};`)
}
