// The files Vite built, under /static/dist/. They are few and small, so they are kept in memory once asked for, packed as well.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { notFound } from '../errors.ts'
import { sha256 } from '../secrets.ts'

const types: Record<string, string> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  png: 'image/png',
  ico: 'image/x-icon',
  webp: 'image/webp',
  woff2: 'font/woff2',
  json: 'application/json',
  txt: 'text/plain; charset=utf-8',
}
const packed = new Set(['js', 'css', 'svg', 'json', 'txt'])
/** Names of folders and files as Vite writes them: no dot at the beginning, so neither `..` nor `.vite`. */
const path = /^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*\/)*[A-Za-z0-9_-][A-Za-z0-9._-]*\.([a-z0-9]+)$/

interface File {
  body: Buffer
  gzip: Buffer | null
  type: string
  etag: string
}

/** @returns the handler of `/static/dist/*` */
export function createStaticFiles(webDirectory: string) {
  const files = new Map<string, Promise<File>>()
  const load = (name: string, extension: string): Promise<File> => {
    let file = files.get(name)
    if (file === undefined) {
      file = readStatic(join(webDirectory, name), extension)
      // Hashed names never change their content; a missing one is looked for again.
      if (name.startsWith('assets/')) {
        files.set(name, file)
        file.catch(() => files.delete(name))
      }
    }
    return file
  }
  return async function sendStatic(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const name = (request.params as { '*': string })['*']
    const extension = path.exec(name)?.[1] ?? ''
    if (!Object.hasOwn(types, extension)) throw notFound()
    const file = await load(name, extension)
    reply
      .header('Content-Type', file.type)
      .header('ETag', file.etag)
      .header('Vary', 'Accept-Encoding')
      .header('Cross-Origin-Resource-Policy', 'same-origin')
      .header(
        'Cache-Control',
        name.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'public, max-age=300',
      )
    if (extension === 'svg')
      reply.header('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'; sandbox")
    if (request.headers['if-none-match'] === file.etag) return reply.code(304).send()
    const takesGzip = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/.test(
      String(request.headers['accept-encoding']),
    )
    if (file.gzip !== null && takesGzip) return reply.header('Content-Encoding', 'gzip').send(file.gzip)
    return reply.send(file.body)
  }
}

async function readStatic(file: string, extension: string): Promise<File> {
  const body = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'EISDIR' || error.code === 'ENOTDIR') throw notFound()
    throw error
  })
  return {
    body,
    gzip: packed.has(extension) && body.length > 512 ? await promisify(gzip)(body, { level: 9 }) : null,
    type: types[extension]!,
    etag: `"${sha256(body).toString('base64url').slice(0, 22)}"`,
  }
}
