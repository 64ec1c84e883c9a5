// The page shells as Core writes them, for the development server: same markup, same policy, no Core.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PageData } from '../../src/wire/page.ts'
import { webDist } from '../build.ts'

interface Chunk {
  file: string
  css?: string[]
  imports?: string[]
}
type Manifest = Record<string, Chunk>

/** The Content-Security-Policy of a page with this nonce. */
export function pagePolicy(nonce: string): string {
  return [
    "default-src 'self'",
    `script-src 'self' 'nonce-${nonce}'`,
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ')
}

/** The HTML of one page. `entry` is its key in the manifest, e.g. `flow/main.tsx`. */
export async function pageShell(entry: string, page: PageData, nonce: string): Promise<string> {
  const manifest = JSON.parse(await readFile(join(webDist, '.vite/manifest.json'), 'utf8')) as Manifest
  const chunks = withImports(manifest, entry)
  const own = chunks[0]
  if (own === undefined) throw new Error(`the manifest has no entry ${entry}`)
  const styles = chunks.flatMap(chunk => chunk.css ?? [])
  const title = [page.flow?.title, page.brand.branding_title].filter(Boolean).join(' – ')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta property="csp-nonce" nonce="${nonce}">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="${escapeHtml(page.brand.branding_favicon || '/static/dist/postern.svg')}">
${styles.map(file => `<link rel="stylesheet" href="/static/dist/${file}" nonce="${nonce}">`).join('\n')}
${chunks
  .slice(1)
  .map(chunk => `<link rel="modulepreload" href="/static/dist/${chunk.file}" nonce="${nonce}">`)
  .join('\n')}
<script type="module" src="/static/dist/${own.file}" nonce="${nonce}"></script>
</head>
<body>
<noscript><p>This page needs JavaScript. Allow it for this site and load the page again.</p></noscript>
<div id="root"></div>
<script type="application/json" id="postern" nonce="${nonce}">${JSON.stringify(page).replaceAll('<', '\\u003c')}</script>
</body>
</html>
`
}

/** The entry's chunk and all it imports for first paint, each once, the entry first. */
function withImports(manifest: Manifest, entry: string): Chunk[] {
  const seen = new Set<string>()
  const visit = (key: string): Chunk[] => {
    const chunk = manifest[key]
    if (chunk === undefined || seen.has(key)) return []
    seen.add(key)
    return [chunk, ...(chunk.imports ?? []).flatMap(visit)]
  }
  return visit(entry)
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
