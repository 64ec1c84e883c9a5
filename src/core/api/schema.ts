// `/schema/`: OpenAPI of the registered routes, from the very schemas that validate and serialise. Computed when first asked for, on
// a throw-away instance, so that nobody pays for it at start.
import type { FastifyInstance, RouteOptions } from 'fastify'
import { fastify } from 'fastify'
import Type from 'typebox'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { onlyQuery } from './shapes.ts'

const prefix = '/api/v3'

/** @param routes of the app; read at the first request, when all are registered */
export function registerSchemaRoute(app: CoreApp, core: Core, routes: readonly RouteOptions[]): void {
  let json: Promise<string> | undefined
  let yaml: Promise<string> | undefined
  app.get(
    `${prefix}/schema/`,
    {
      config: { access: 'public' },
      schema: {
        operationId: 'schema_retrieve',
        tags: ['schema'],
        querystring: onlyQuery({
          format: Type.Optional(Type.Enum(['json', 'yaml'])),
          lang: Type.Optional(Type.String()),
        }),
      },
    },
    async (request, reply) => {
      json ??= describe(routes, core)
      const wantsJson =
        request.query.format === 'json' ||
        (request.query.format === undefined && request.headers.accept?.includes('json') === true)
      if (wantsJson) return reply.type('application/vnd.oai.openapi+json; charset=utf-8').send(await json)
      yaml ??= json.then(toYaml)
      return reply.type('application/vnd.oai.openapi; charset=utf-8').send(await yaml)
    },
  )
}

async function describe(routes: readonly RouteOptions[], core: Core): Promise<string> {
  const { default: swagger } = await import('@fastify/swagger')
  const scratch: FastifyInstance = fastify({ exposeHeadRoutes: false })
  scratch.setValidatorCompiler(() => () => true)
  scratch.setSerializerCompiler(() => data => JSON.stringify(data))
  try {
    await scratch.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: { title: 'Postern', description: 'API of the identity provider.', version: core.version },
        servers: [{ url: prefix }],
        components: {
          securitySchemes: { authentik: { type: 'http', scheme: 'bearer' } },
        },
        security: [{ authentik: [] }],
      },
      stripBasePath: false,
    })
    for (const route of routes) {
      if (!route.url.startsWith(`${prefix}/`) || route.method === 'HEAD') continue
      const open = route.config?.access === 'public' ? { security: [{}] } : {}
      scratch.route({
        method: route.method,
        url: route.url.slice(prefix.length),
        schema: { ...route.schema, ...open },
        handler: () => null,
      })
    }
    await scratch.ready()
    return JSON.stringify(scratch.swagger())
  } finally {
    await scratch.close()
  }
}

async function toYaml(json: string): Promise<string> {
  const { stringify } = await import('yaml')
  return stringify(JSON.parse(json), { aliasDuplicateObjects: false })
}
