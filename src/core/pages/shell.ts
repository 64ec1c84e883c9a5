// The HTML around the browser applications: brand, title, the files Vite built, and what the page needs to know, under a policy that
// runs nothing but these files.
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyReply } from 'fastify'
import type { PageData, PageFlow, PageTheme } from '../../wire/page.ts'
import type { Core } from '../core.ts'
import { csrfCookieName } from '../csrf.ts'
import { imageAddress } from '../media/address.ts'
import type { BrandRow } from './brand.sql.ts'
import { escaped } from './page.ts'

interface Chunk {
  file: string
  css?: string[]
  imports?: string[]
}
type Manifest = Record<string, Chunk>

export interface Shell {
  /** entry in Vite's manifest, e.g. `flow/main.tsx` */
  entry: string
  brand: BrandRow | undefined
  flow?: PageFlow
}

export interface Shells {
  /** Sends a page. @throws Error when the pages were not built */
  send(reply: FastifyReply, shell: Shell): Promise<FastifyReply>
}

/** Reads Vite's manifest once, at the first page. */
export function createShells(core: Pick<Core, 'webDirectory' | 'version'>): Shells {
  let manifest: Promise<Manifest> | undefined
  const read = () => {
    manifest ??= readManifest(core.webDirectory).catch(error => {
      manifest = undefined
      throw error
    })
    return manifest
  }
  return {
    async send(reply, shell) {
      const files = filesOf(await read(), shell.entry)
      const nonce = randomBytes(16).toString('base64')
      return reply
        .header('Content-Security-Policy', contentPolicy(nonce))
        .header('X-Frame-Options', 'DENY')
        .header('Cross-Origin-Opener-Policy', 'same-origin')
        .header('Permissions-Policy', 'camera=(), geolocation=(), microphone=(), payment=(), usb=()')
        .header('Cache-Control', 'no-store')
        .type('text/html; charset=utf-8')
        .send(html(files, shell, pageData(shell, core.version), nonce))
    },
  }
}

async function readManifest(webDirectory: string): Promise<Manifest> {
  const file = join(webDirectory, '.vite/manifest.json')
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Manifest
  } catch (cause) {
    throw new Error(`the web pages are not built: ${file} cannot be read; run \`npm run web\``, { cause })
  }
}

function contentPolicy(nonce: string): string {
  return [
    "default-src 'self'",
    `script-src 'self' 'nonce-${nonce}'`,
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "connect-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ')
}

interface Files {
  script: string
  preload: string[]
  styles: string[]
}

/** The entry's file, what it imports for the first paint, and their styles, each once. */
function filesOf(manifest: Manifest, entry: string): Files {
  const seen = new Set<string>()
  const visit = (key: string): Chunk[] => {
    const chunk = Object.hasOwn(manifest, key) ? manifest[key] : undefined
    if (chunk === undefined || seen.has(key)) return []
    seen.add(key)
    return [chunk, ...(chunk.imports ?? []).flatMap(visit)]
  }
  const [own, ...imported] = visit(entry)
  if (own === undefined) throw new Error(`the web pages were built without ${entry}; run \`npm run web\``)
  const styles = [...new Set([own, ...imported].flatMap(chunk => chunk.css ?? []))]
  return { script: own.file, preload: imported.map(chunk => chunk.file), styles }
}

function pageData({ brand, flow }: Shell, version: string): PageData {
  const theme = themeOf(brand)
  const image = (text = '') => {
    const { url, themed } = imageAddress(text, brand?.files)
    return (theme === 'dark' ? themed?.dark : undefined) ?? url ?? ''
  }
  return {
    brand: {
      branding_title: brand?.branding_title ?? 'Postern',
      branding_logo: image(brand?.branding_logo),
      branding_favicon: image(brand?.branding_favicon),
      default_flow_background: image(brand?.branding_default_flow_background),
    },
    ...(flow === undefined ? {} : { flow }),
    csrf_cookie: csrfCookieName,
    version,
    theme,
  }
}

/** `settings.theme.base` of the brand's attributes. */
function themeOf(brand: BrandRow | undefined): PageTheme {
  const settings = brand?.attributes.settings as { theme?: { base?: unknown } } | undefined
  const base = settings?.theme?.base
  return base === 'light' || base === 'dark' ? base : 'automatic'
}

function html(files: Files, { brand }: Shell, data: PageData, nonce: string): string {
  const title = [data.flow?.title, data.brand.branding_title].filter(text => text).join(' – ')
  const asset = (file: string) => `/static/dist/${escaped(file)}`
  const head = [
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="color-scheme" content="light dark">',
    `<meta property="csp-nonce" nonce="${nonce}">`,
    `<title>${escaped(title)}</title>`,
    `<link rel="icon" href="${escaped(data.brand.branding_favicon || '/static/dist/postern.svg')}">`,
    ...files.styles.map(file => `<link rel="stylesheet" href="${asset(file)}" nonce="${nonce}">`),
    ...files.preload.map(file => `<link rel="modulepreload" href="${asset(file)}" nonce="${nonce}">`),
    `<script type="module" src="${asset(files.script)}" nonce="${nonce}"></script>`,
    ...customStyle(brand?.branding_custom_css ?? '', nonce),
  ]
  return `<!doctype html>
<html lang="en">
<head>
${head.join('\n')}
</head>
<body>
<noscript><p>This page needs JavaScript. Allow it for this site and load the page again.</p></noscript>
<div id="root"></div>
<script type="application/json" id="postern" nonce="${nonce}">${JSON.stringify(data).replaceAll('<', '\\u003c')}</script>
</body>
</html>
`
}

/** After ours, so that it wins. Text that could close the element is left out whole. */
function customStyle(css: string, nonce: string): string[] {
  if (css === '' || /<\/style|<!--/i.test(css)) return []
  return [`<style nonce="${nonce}">${css}</style>`]
}
