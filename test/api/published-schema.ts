// The OpenAPI document that the official client was generated from, and a check of answers against it: every required key present,
// every value of the documented type.
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { parse } from 'yaml'

interface Schema {
  $ref?: string
  type?: string
  format?: string
  enum?: unknown[]
  nullable?: boolean
  required?: string[]
  properties?: Record<string, Schema>
  additionalProperties?: Schema | boolean
  items?: Schema
  allOf?: Schema[]
  oneOf?: Schema[]
}

interface Document {
  paths: Record<
    string,
    Record<string, { responses?: Record<string, { content?: Record<string, { schema: Schema }> }> }>
  >
  components: { schemas: Record<string, Schema> }
}

export interface PublishedSchema {
  /**
   * @param path as called, below `/api/v3`, without query
   * @returns what is wrong with the answer, empty when nothing is; undefined when the document does not know the call
   */
  problems(method: string, path: string, status: number, body: unknown): string[] | undefined
}

export async function publishedSchema(): Promise<PublishedSchema> {
  const folder = dirname(createRequire(import.meta.url).resolve('@goauthentik/api/package.json'))
  const document: Document = parse(await readFile(join(folder, 'schema.yml'), 'utf8'))
  const paths = Object.keys(document.paths)
    .map(path => ({ path, pattern: new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`) }))
    .sort((a, b) => a.path.split('{').length - b.path.split('{').length)
  return {
    problems(method, path, status, body) {
      const known = paths.find(entry => entry.pattern.test(path))
      const operation = known && document.paths[known.path]?.[method.toLowerCase()]
      const response = operation?.responses?.[String(status)]
      if (response === undefined) return undefined
      const schema = Object.values(response.content ?? {})[0]?.schema
      return schema === undefined ? [] : check(document, schema, body, '')
    },
  }
}

function check(document: Document, schema: Schema, value: unknown, at: string): string[] {
  if (schema.nullable === true && value === null) return []
  if (schema.$ref !== undefined) {
    const name = schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1)
    return check(document, document.components.schemas[name]!, value, at)
  }
  if (schema.allOf !== undefined) return schema.allOf.flatMap(part => check(document, part, value, at))
  if (schema.oneOf !== undefined) {
    const tries = schema.oneOf.map(part => check(document, part, value, at))
    return tries.some(problems => problems.length === 0) ? [] : (tries[0] ?? [])
  }
  if (schema.enum !== undefined && !schema.enum.includes(value) && !isCustomAction(value))
    return [`${at}: ${JSON.stringify(value)} is not one of ${schema.enum.join(', ')}`]
  if (schema.type === 'object') return checkObject(document, schema, value, at)
  if (schema.type === 'array') {
    if (!Array.isArray(value)) return [`${at}: not an array`]
    return value.flatMap((item, index) => check(document, schema.items ?? {}, item, `${at}[${index}]`))
  }
  return checkScalar(schema, value, at)
}

/** The prefix stands for all of them in the document's enum. */
function isCustomAction(value: unknown): boolean {
  return typeof value === 'string' && value.startsWith('custom_')
}

function checkObject(document: Document, schema: Schema, value: unknown, at: string): string[] {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return [`${at}: not an object`]
  const object = value as Record<string, unknown>
  const missing = (schema.required ?? []).filter(key => object[key] === undefined)
  return [
    ...missing.map(key => `${at}.${key}: missing`),
    ...Object.entries(schema.properties ?? {})
      .filter(([key]) => object[key] !== undefined)
      .flatMap(([key, part]) => check(document, part, object[key], `${at}.${key}`)),
  ]
}

function checkScalar(schema: Schema, value: unknown, at: string): string[] {
  const right =
    schema.type === 'integer'
      ? Number.isInteger(value)
      : schema.type === undefined || typeof value === schema.type
  if (!right) return [`${at}: ${JSON.stringify(value)} is not a ${schema.type}`]
  if (schema.format === 'date-time' && Number.isNaN(Date.parse(String(value)))) return [`${at}: not a time`]
  if (schema.format === 'uuid' && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(String(value)))
    return [`${at}: not a uuid`]
  return []
}
