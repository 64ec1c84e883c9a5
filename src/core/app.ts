// Core's Fastify instance: what happens to every request before and after its handler. Routes are listed in routes.ts.

import type { ServerResponse } from 'node:http'
import formbody from '@fastify/formbody'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import fastJson from 'fast-json-stringify'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { fastify } from 'fastify'
import { cookieValues } from '../http/cookies.ts'
import { requestId } from '../http/request-id.ts'
import { publicRequest } from '../http/trusted-peers.ts'
import { errorText } from '../log.ts'
import { isUnavailable } from '../pg/errors.ts'
import { checkAccess } from './access.ts'
import { refusedValue } from './api/database-errors.ts'
import { rememberWrites } from './api/read-after.ts'
import type { Core } from './core.ts'
import { ApiError } from './errors.ts'

/** Fastify with TypeBox types; the parameter of every `register…Routes(app, core)`. */
export type CoreApp = ReturnType<typeof createApp>

/** Creates the instance with hooks and error handling, without routes. Bodies are at most 1 MiB. */
export function createApp(core: Core) {
  const app = fastify({
    bodyLimit: 1_048_576,
    genReqId: raw => requestId(raw),
    routerOptions: { ignoreTrailingSlash: false, maxParamLength: 500 },
    logger: false,
  }).withTypeProvider<TypeBoxTypeProvider>()
  compileLazily(app as unknown as FastifyInstance)
  app.register(formbody, { bodyLimit: 262_144 })
  decorate(app as unknown as FastifyInstance)

  app.addHook('onRoute', route => {
    if (route.config?.access === undefined)
      throw new Error(`route ${route.method} ${route.url} does not say who may call it`)
  })
  app.addHook('onRequest', async (request, reply) => {
    request.client = publicRequest(request.raw, core.trusted)
    // Where no body was announced the listener has ended it already: whoever parsed one would wait for its end for ever.
    const { headers } = request.raw
    if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined)
      delete headers['content-type']
    reply.header('X-authentik-id', request.id)
    reply.header('X-Content-Type-Options', 'nosniff')
    reply.header('Referrer-Policy', 'same-origin')
    if (core.baseUrl.protocol === 'https:') reply.header('Strict-Transport-Security', 'max-age=31536000')
    if (request.url.startsWith('/api/')) reply.header('Cache-Control', 'no-store')
  })
  // Before validation: who may not call a route learns nothing about its parameters.
  app.addHook('onSend', async (_request, reply, payload) => {
    rememberSize(reply.raw, payload)
  })
  app.addHook('preValidation', request => checkAccess(core, request))
  rememberWrites(app, core)
  app.setNotFoundHandler({}, (_request, reply) => reply.code(404).send({ detail: 'Not found.' }))
  app.setErrorHandler((error, request, reply) => answerError(core, error, request, reply))
  return app
}

const bodySizes = new WeakMap<ServerResponse, number>()

/** Bytes of an answer's body, for the access line; 0 for one that was streamed. */
export function bodySize(response: ServerResponse): number {
  return bodySizes.get(response) ?? 0
}

function rememberSize(response: ServerResponse, payload: unknown): void {
  if (typeof payload === 'string') bodySizes.set(response, Buffer.byteLength(payload))
  else if (Buffer.isBuffer(payload)) bodySizes.set(response, payload.length)
}

function decorate(app: FastifyInstance): void {
  app.decorateRequest('client')
  app.decorateRequest('principal', null)
  app.decorateRequest('browserSession', null)
  app.decorateRequest('caller', null)
  app.decorateRequest('sessionLookup')
  app.decorateRequest('cookie', function cookie(this: FastifyRequest, name: string) {
    return cookieValues(this.headers.cookie, name)[0]
  })
}

/** Validators and serialisers are compiled at first use: 400 routes would otherwise cost a second at start. */
function compileLazily(app: FastifyInstance): void {
  app.setValidatorCompiler(route => {
    let validate: ReturnType<typeof TypeBoxValidatorCompiler> | undefined
    return (data: unknown) => {
      validate ??= TypeBoxValidatorCompiler(route as Parameters<typeof TypeBoxValidatorCompiler>[0])
      return validate(data)
    }
  })
  const compiled = new Map<string, (data: unknown) => string>()
  app.setSerializerCompiler(({ schema }) => {
    let serialise: ((data: unknown) => string) | undefined
    return (data: unknown) => {
      if (serialise === undefined) {
        const text = JSON.stringify(schema)
        serialise = compiled.get(text) ?? (fastJson(schema as object) as (data: unknown) => string)
        compiled.set(text, serialise)
      }
      return serialise(data)
    }
  })
}

interface SchemaIssue {
  keyword?: string
  instancePath: string
  message?: string
  params?: { missingProperty?: string; requiredProperties?: string[] }
}

function answerError(core: Core, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (error instanceof ApiError) {
    if (error.retryAfterSeconds !== undefined) reply.header('Retry-After', String(error.retryAfterSeconds))
    if (error.code === 'not_authenticated') reply.header('WWW-Authenticate', 'Bearer')
    if (error.cause !== undefined)
      core.log.warning('request refused', {
        request_id: request.id,
        status: error.status,
        error: error.cause,
      })
    const body = error.fields ?? { detail: error.message }
    return reply.code(error.status).send(error.code === undefined ? body : { ...body, code: error.code })
  }
  const known = error as { validation?: SchemaIssue[]; statusCode?: number; code?: string }
  if (known.validation !== undefined) return reply.code(400).send(fieldErrors(known.validation))
  if (isUnavailable(error)) {
    core.log.warning('database unavailable', { request_id: request.id, error: errorText(error) })
    return reply
      .code(503)
      .header('Retry-After', '2')
      .send({ detail: 'The database is unavailable.', request_id: request.id })
  }
  const value = refusedValue(error)
  if (value !== undefined) return answerError(core, value, request, reply)
  if (known.statusCode !== undefined && known.statusCode >= 400 && known.statusCode < 500)
    return reply.code(known.statusCode).send({ detail: errorText(error) })
  core.log.error('request failed', {
    request_id: request.id,
    method: request.method,
    path: request.url.split('?', 1)[0],
    error: errorText(error),
    stack: error instanceof Error ? error.stack : undefined,
  })
  return reply.code(500).send({ detail: 'Internal error.', request_id: request.id })
}

/** `{field: [sentences], code}` as clients of the API expect. */
function fieldErrors(issues: SchemaIssue[]): Record<string, string[] | string> {
  const fields: Record<string, string[]> = {}
  for (const issue of issues) {
    if (issue.keyword === 'additionalProperties') continue // named one by one by issues of their own
    const parent = issue.instancePath.split('/')[1] ?? ''
    const missing = issue.params?.requiredProperties ?? [issue.params?.missingProperty ?? '']
    const names = issue.keyword === 'required' && parent === '' ? missing : [parent]
    const sentence = issue.keyword === 'required' ? 'This field is required.' : sentenceOf(issue.message)
    for (const field of names) {
      const name = field === '' ? 'non_field_errors' : field
      const list = fields[name] ?? []
      fields[name] = list
      if (!list.includes(sentence)) list.push(sentence)
    }
  }
  return { ...fields, code: 'invalid' }
}

function sentenceOf(message: string | undefined): string {
  const text = message ?? 'not valid'
  if (text === 'schema is false') return 'Unknown parameter.'
  return `Not valid: ${text}.`
}
