// `/admin/file/`: the files administrators upload for icons, logos and backgrounds, by name.

import { fastifyMultipart } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import { errorText } from '../../log.ts'
import { lockInTx } from '../../pg/lock.ts'
import { principalOf } from '../access.ts'
import { audit } from '../api/audit.ts'
import { write } from '../api/resource-write.ts'
import { Empty, errorResponses, nullable, onlyQuery, UsedBy } from '../api/shapes.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { ApiError, invalid, notFound } from '../errors.ts'
import {
  deleteMedia,
  findMedia,
  insertMedia,
  isMediaAddress,
  listMedia,
  type MediaRow,
  mediaUsedBy,
} from './media.sql.ts'
import { contentAddress, mediaPath } from './names.ts'
import type { MediaStore, StagedFile } from './store.ts'
import { readUpload } from './upload.ts'

const text = Type.String()
const File = Type.Object({
  name: text,
  mime_type: text,
  url: text,
  themed_urls: nullable(Type.Object({ light: text, dark: text })),
})
const usage = Type.Optional(Type.Enum(['media']))
const path = '/api/v3/admin/file/'
const view = { access: { permission: 'authentik_rbac.view_media_files' } }
const manage = { access: { permission: 'authentik_rbac.manage_media_files' } }

export function registerFileRoutes(app: CoreApp, core: Core, store: MediaStore): void {
  app.get(
    path,
    {
      config: view,
      schema: {
        operationId: 'admin_file_list',
        tags: ['admin'],
        querystring: onlyQuery({
          manageable_only: Type.Optional(Type.Boolean()),
          search: Type.Optional(text),
          usage,
        }),
        response: { 200: Type.Array(File), ...errorResponses },
      },
    },
    async request => (await listMedia(core.db, request.query.search)).map(fileBody),
  )
  app.get(
    `${path}used_by/`,
    {
      config: view,
      schema: {
        operationId: 'admin_file_used_by_list',
        tags: ['admin'],
        querystring: onlyQuery({ name: text }),
        response: { 200: Type.Array(UsedBy), ...errorResponses },
      },
    },
    async request => {
      const file = await findMedia(core.db, storable(request.query.name))
      if (file === undefined) throw notFound()
      return mediaUsedBy(core.db, principalOf(request), file)
    },
  )
  app.delete(
    path,
    {
      config: manage,
      schema: {
        operationId: 'admin_file_destroy',
        tags: ['admin'],
        querystring: onlyQuery({ name: text, usage }),
        response: { 200: Empty, ...errorResponses },
      },
    },
    async (request, reply) => {
      await forget(core, store, request, storable(request.query.name))
      return reply.code(200).send()
    },
  )
  registerUpload(app, core, store)
}

/** In a scope of its own: no other route takes forms with files. */
function registerUpload(app: CoreApp, core: Core, store: MediaStore): void {
  app.register(async scope => {
    await scope.register(fastifyMultipart)
    scope.post(
      path,
      {
        config: manage,
        // The form is read by `readUpload`; this is its description.
        validatorCompiler: () => () => true,
        schema: {
          operationId: 'admin_file_create',
          tags: ['admin'],
          consumes: ['multipart/form-data'],
          body: Type.Object({
            file: Type.String({ format: 'binary' }),
            name: Type.Optional(text),
            usage: Type.Optional(text),
          }),
          response: { 200: File, ...errorResponses },
        },
      },
      async request => {
        const upload = await readUpload(request)
        const file: MediaRow = {
          name: upload.name,
          address: contentAddress(upload.bytes, upload.type.extension),
          mime_type: upload.type.mimeType,
          size: upload.bytes.length,
        }
        await save(core, store, request, file, upload.bytes)
        return fileBody(file)
      },
    )
  })
}

/** The bytes are on the disk before the row can be seen; sending a file again is no error, and mends one that is missing. */
async function save(
  core: Core,
  store: MediaStore,
  request: FastifyRequest,
  file: MediaRow,
  bytes: Buffer,
): Promise<void> {
  const staged = await stage(core, store, file.address, bytes)
  try {
    await write(core, request, async context => {
      const { tx, principal } = context
      await lockInTx(tx, 'media_file', file.address)
      if (await insertMedia(tx, { ...file, createdBy: principal.user.id }))
        await audit(context, 'model_created', modelOf(file.name), {
          mime_type: file.mime_type,
          size: file.size,
        })
      else if ((await findMedia(tx, file.name))?.address !== file.address)
        throw invalid({
          name: `There is another file "${file.name}": delete it first, or choose another name.`,
        })
      await staged.publish()
    })
  } catch (error) {
    await staged.discard()
    // A commit that failed, or whose answer was lost, may have left a file that no row names.
    if (!(error instanceof ApiError)) await removeUnused(core, store, file.address)
    throw error
  }
}

/** @throws ApiError 503 naming the setting when the folder cannot be written */
async function stage(core: Core, store: MediaStore, address: string, bytes: Buffer): Promise<StagedFile> {
  try {
    return await store.stage(address, bytes)
  } catch (cause) {
    core.log.error('media file cannot be saved', {
      directory: core.mediaDirectory,
      setting: 'AUTHENTIK_STORAGE__MEDIA__FILE__PATH',
      error: errorText(cause),
    })
    throw new ApiError(
      503,
      'The file cannot be saved on this server. AUTHENTIK_STORAGE__MEDIA__FILE__PATH must name a folder it can write, with space left.',
      { code: 'media_not_writable' },
    )
  }
}

async function forget(core: Core, store: MediaStore, request: FastifyRequest, name: string): Promise<void> {
  const address = await write(core, request, async context => {
    const found = await deleteMedia(context.tx, name)
    if (found === undefined) throw notFound()
    await audit(context, 'model_deleted', modelOf(name))
    return found
  })
  await removeUnused(core, store, address)
}

/** Removes a file that no name means any more; whoever uploads the same content now waits. Never fails: the rows are right. */
async function removeUnused(core: Core, store: MediaStore, address: string): Promise<void> {
  try {
    await core.db.transaction(async tx => {
      await lockInTx(tx, 'media_file', address)
      if (!(await isMediaAddress(tx, address))) await store.remove(address)
    })
  } catch (error) {
    core.log.warning('media file cannot be removed', { address, error: errorText(error) })
  }
}

function fileBody(file: MediaRow) {
  return { name: file.name, mime_type: file.mime_type, url: mediaPath + file.address, themed_urls: null }
}

function modelOf(name: string) {
  return { app: 'authentik_admin_files', model_name: 'file', pk: name, name }
}

/** @throws ApiError 404 for a name that PostgreSQL cannot hold, which therefore is none */
function storable(name: string): string {
  if (name.includes('\0')) throw notFound()
  return name
}
