// `GET /media/public/…`: files for anybody, as images and nothing else. An address of a content never means another content, so it is
// answered from the disk alone and may be kept for ever; a name is looked up.
import type { FileHandle } from 'node:fs/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'
import { errorText } from '../../log.ts'
import type { Core } from '../core.ts'
import { ApiError, notFound } from '../errors.ts'
import { mimeTypeOf } from './image-type.ts'
import { findMedia, isMediaAddress } from './media.sql.ts'
import { isContentAddress, isMediaName } from './names.ts'
import { byteRange, noneMatch } from './range.ts'
import type { MediaStore } from './store.ts'

/** What Prometheus is told. */
export interface MediaFigures {
  /** answers 404 for files that are recorded and could not be read from this process's folder */
  missing(): number
}

type Served = Pick<Core, 'db' | 'log' | 'mediaDirectory'>

/** Runs nothing and loads nothing, should a file be opened as a page of its own. */
const policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
/** Up to this, a file is read in one piece. */
const wholeBytes = 262_144

/** @returns the handler of `/media/public/*`, and the count of what it missed */
export function createMediaHandler(core: Served, store: MediaStore) {
  let missing = 0
  // Addresses that were looked for and are not here → recorded or not; a missing file is asked about once a minute.
  const absent = new LRUCache<string, boolean>({ max: 1000, ttl: 60_000 })

  async function reportAbsent(address: string, error: unknown): Promise<void> {
    let recorded = absent.get(address)
    if (recorded === undefined) {
      recorded = await isMediaAddress(core.db, address)
      absent.set(address, recorded)
      if (recorded)
        core.log.warning('media file is missing', {
          address,
          directory: core.mediaDirectory,
          setting: 'AUTHENTIK_STORAGE__MEDIA__FILE__PATH',
          error: errorText(error),
        })
    }
    if (recorded) missing += 1
  }

  async function sendMedia(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const path = (request.params as { '*': string })['*']
    reply.header('Cache-Control', 'no-store')
    const fixed = isContentAddress(path)
    const address = fixed ? path : isMediaName(path) ? (await findMedia(core.db, path))?.address : undefined
    if (address === undefined) throw notFound()
    let file: { handle: FileHandle; size: number }
    try {
      file = await store.open(address)
    } catch (error) {
      await reportAbsent(address, error)
      throw notFound()
    }
    return await answer(request, reply, { ...file, address, fixed })
  }

  const figures: MediaFigures = { missing: () => missing }
  return { sendMedia, figures }
}

interface OpenFile {
  handle: FileHandle
  size: number
  address: string
  /** asked for by its address */
  fixed: boolean
}

async function answer(request: FastifyRequest, reply: FastifyReply, file: OpenFile): Promise<FastifyReply> {
  const { handle, size, address } = file
  let streaming = false
  try {
    const etag = `"${address.slice(3, 35)}"`
    reply
      .header('ETag', etag)
      .header('Content-Security-Policy', policy)
      .header('Cache-Control', file.fixed ? 'public, max-age=31536000, immutable' : 'public, max-age=86400')
    if (noneMatch(request.headers['if-none-match'], etag)) return reply.code(304).send()

    const ifRange = request.headers['if-range']
    const range = byteRange(
      request.method === 'GET' ? request.headers.range : undefined,
      typeof ifRange === 'string' ? ifRange : undefined,
      etag,
      size,
    )
    if (range === 'unsatisfiable') {
      reply.header('Content-Range', `bytes */${size}`).header('Cache-Control', 'no-store')
      throw new ApiError(416, 'The file ends before the range begins.')
    }
    const { start, end } = range ?? { start: 0, end: size - 1 }
    if (range !== null) reply.code(206).header('Content-Range', `bytes ${start}-${end}/${size}`)
    reply
      .header('Content-Type', mimeTypeOf(address.slice(address.lastIndexOf('.') + 1)))
      .header('Content-Disposition', 'inline')
      .header('Accept-Ranges', 'bytes')
      .header('Content-Length', end - start + 1)
    if (request.method === 'HEAD') return reply.send()
    if (end - start < wholeBytes) return reply.send(await readWhole(handle, start, end - start + 1))
    streaming = true
    return reply.send(handle.createReadStream({ start, end }))
  } finally {
    // A stream closes it at its end, or when the client leaves.
    if (!streaming) await handle.close()
  }
}

/** @throws Error for a file that is shorter than it said */
async function readWhole(handle: FileHandle, start: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; ) {
    const { bytesRead } = await handle.read(buffer, at, length - at, start + at)
    if (bytesRead === 0) throw new Error('a media file became shorter while it was read')
    at += bytesRead
  }
  return buffer
}
