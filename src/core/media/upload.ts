// What a client uploads, read from its form and judged: only images, only harmless ones, under a name that is fit.
import type { FastifyRequest } from 'fastify'
import { ApiError, invalid } from '../errors.ts'
import { type ImageType, imageExtensions, imageType } from './image-type.ts'
import { isMediaName, nameFromFile } from './names.ts'
import { svgProblem } from './svg.ts'

export const maxUploadBytes = 5 * 1_048_576

export interface Upload {
  name: string
  type: ImageType
  bytes: Buffer
}

/**
 * Reads the form of an upload: `file`, and optionally `name` and `usage`.
 * @throws ApiError 400 on a field
 */
export async function readUpload(request: FastifyRequest): Promise<Upload> {
  const form = await readForm(request)
  if (form.file === undefined) throw invalid({ file: 'No file was submitted.' })
  if ((form.fields.usage ?? 'media') !== 'media')
    throw invalid({ usage: `"${form.fields.usage}" is not a valid choice: "media" is the only one.` })
  const { bytes } = form.file
  const type = judgeImage(bytes)
  return { name: chooseName(form.fields.name ?? '', form.file.filename, type), type, bytes }
}

interface Form {
  file?: { filename: string; bytes: Buffer }
  fields: { name?: string; usage?: string }
}

async function readForm(request: FastifyRequest): Promise<Form> {
  if (!request.isMultipart()) throw invalid({ file: 'Send the file as multipart/form-data.' })
  const form: Form = { fields: {} }
  try {
    const limits = {
      fileSize: maxUploadBytes,
      files: 1,
      fields: 4,
      parts: 5,
      fieldSize: 4096,
      headerPairs: 20,
    }
    for await (const part of request.parts({ limits })) {
      if (part.type === 'file') {
        const bytes = await part.toBuffer()
        if (part.fieldname !== 'file') throw invalid({ [part.fieldname]: 'No file belongs here.' })
        form.file = { filename: part.filename, bytes }
      } else if (part.fieldname === 'name' || part.fieldname === 'usage') {
        form.fields[part.fieldname] = String(part.value)
      }
    }
  } catch (error) {
    throw refusedForm(error)
  }
  return form
}

function refusedForm(error: unknown): unknown {
  if (error instanceof ApiError) return error
  const { code, statusCode } = error as { code?: string; statusCode?: number }
  if (code === 'FST_REQ_FILE_TOO_LARGE') return invalid({ file: 'A file may have at most 5 MiB.' })
  if (code === 'FST_FILES_LIMIT') return invalid({ file: 'Send one file at a time.' })
  const ours = statusCode !== undefined && statusCode >= 500
  return ours ? error : invalid({ non_field_errors: 'This form cannot be read.' })
}

/** @throws ApiError 400 for anything that is not an image that may be shown to anybody */
function judgeImage(bytes: Buffer): ImageType {
  if (bytes.length === 0) throw invalid({ file: 'The submitted file is empty.' })
  const type = imageType(bytes)
  if (type === undefined)
    throw invalid({ file: `Not an image of a known type: ${imageExtensions.join(', ')}.` })
  const problem = type.extension === 'svg' ? svgProblem(bytes) : null
  if (problem !== null) throw invalid({ file: problem })
  return type
}

/** The name asked for, else one made of the file's; with an extension in any case. @throws ApiError 400 */
function chooseName(asked: string, filename: string, type: ImageType): string {
  const stem = asked === '' ? nameFromFile(filename) : asked
  const name = /\.[A-Za-z0-9]+$/.test(stem) ? stem : `${stem === '' ? 'image' : stem}.${type.extension}`
  if (name.includes('%(theme)s'))
    throw invalid({
      name: 'Upload one file for each theme, e.g. "logo-light.png" and "logo-dark.png", and refer to them as "logo-%(theme)s.png".',
    })
  if (!isMediaName(name))
    throw invalid({
      name: 'Use letters, digits and ._- in parts joined by single slashes, none beginning with a dot; at most 255 characters.',
    })
  return name
}
