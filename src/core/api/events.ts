// `/events/events/`: what happened. Events are written by what happens and never changed: there is nothing to edit or delete here,
// and what may be added from outside is little.
import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import Type from 'typebox'
import { principalOf } from '../access.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { ApiError, invalid, permissionDenied } from '../errors.ts'
import type { EventAction } from '../events/record.ts'
import { recordEvent } from '../events/record.ts'
import type { EventQuery, EventRow } from './events.sql.ts'
import { eventConditions, eventOrdering, eventTable } from './events.sql.ts'
import { reloadRow } from './resource.sql.ts'
import { registerResource } from './resource.ts'
import type { Resource } from './resource-definition.ts'
import { write } from './resource-write.ts'
import { errorResponses, iso, Json, listQuery, nullable, Time, Uuid } from './shapes.ts'

/** Actions an event may have, with the words people read. */
export const eventActions: Record<string, string> = {
  login: 'Login',
  login_failed: 'Login failed',
  logout: 'Logout',
  user_write: 'User write',
  suspicious_request: 'Suspicious request',
  password_set: 'Password set',
  secret_view: 'Secret was viewed',
  secret_rotate: 'Secret was rotated',
  authorize_application: 'Application authorized',
  flow_execution: 'Flow execution',
  policy_exception: 'Policy exception',
  property_mapping_exception: 'Property mapping exception',
  system_task_exception: 'System task exception',
  system_exception: 'System exception',
  configuration_error: 'Configuration error',
  configuration_warning: 'Configuration warning',
  model_created: 'Model created',
  model_updated: 'Model updated',
  model_deleted: 'Model deleted',
  email_sent: 'Email sent',
  custom_: 'Custom prefix',
}

/** What the service account of an outpost may report besides `custom_…`. */
const outpostActions = new Set([
  'authorize_application',
  'configuration_error',
  'configuration_warning',
  'suspicious_request',
  'system_exception',
])

const EventBody = Type.Object({
  pk: Uuid,
  user: Json,
  action: Type.String(),
  app: Type.String(),
  context: Json,
  client_ip: nullable(Type.String()),
  created: Time,
  expires: Time,
  brand: Json,
})
const EventInput = Type.Object({
  action: Type.String({ pattern: '^(custom_[a-z0-9_]{0,100}|[a-z_]{1,50})$' }),
  app: Type.String({ minLength: 1, maxLength: 200 }),
  context: Type.Optional(Json),
  client_ip: Type.Optional(nullable(Type.String({ maxLength: 45 }))),
})

const exactly = Type.Optional(Type.String())

export const eventResource: Resource<EventRow, Record<string, never>, EventQuery> = {
  path: '/events/events/',
  parameter: ['event_uuid', Uuid],
  operation: 'events_events',
  app: 'authentik_events',
  model: 'event',
  body: EventBody,
  query: listQuery({
    action: exactly,
    actions: Type.Optional(Type.Array(Type.String())),
    brand_name: exactly,
    client_ip: exactly,
    context_authorized_app: exactly,
    context_model_app: exactly,
    context_model_name: exactly,
    context_model_pk: exactly,
    username: exactly,
  }),
  table: eventTable,
  where: eventConditions,
  ordering: eventOrdering,
  defaultOrder: '-created',
  fromReplica: true,
  toBody: eventBody,
  label: row => ({ pk: row.id, name: row.action }),
}

export function registerEventRoutes(app: CoreApp, core: Core): void {
  registerResource(app, core, eventResource)
  app.get(
    '/api/v3/events/events/actions/',
    {
      config: { access: 'authenticated' },
      schema: {
        operationId: 'events_events_actions_list',
        tags: ['events'],
        response: {
          200: Type.Array(
            Type.Object({
              name: Type.String(),
              description: Type.String(),
              component: Type.String(),
              model_name: Type.String(),
            }),
          ),
          ...errorResponses,
        },
      },
    },
    async () =>
      Object.entries(eventActions).map(([component, name]) => ({
        name,
        description: '',
        component,
        model_name: '',
      })),
  )
  registerReport(app, core)
  app.route({
    method: ['PUT', 'PATCH', 'DELETE'],
    url: '/api/v3/events/events/:event_uuid/',
    config: { access: 'authenticated' },
    schema: { hide: true },
    handler: async (request, reply) => {
      reply.header('Allow', 'GET, HEAD')
      throw new ApiError(405, `Method "${request.method}" not allowed.`)
    },
  })
}

function registerReport(app: CoreApp, core: Core): void {
  app.post(
    '/api/v3/events/events/',
    {
      config: { access: { permission: 'authentik_events.add_event' } },
      schema: {
        operationId: 'events_events_create',
        tags: ['events'],
        body: EventInput,
        response: { 201: EventBody, ...errorResponses },
      },
    },
    async (request, reply) => {
      const { action, app: source, context = {}, client_ip: clientIp } = request.body
      const { user } = principalOf(request)
      const isOutpost = user.type === 'internal_service_account'
      if (!action.startsWith('custom_')) {
        if (!Object.hasOwn(eventActions, action))
          throw invalid({ action: `"${action}" is not a valid choice.` })
        if (!isOutpost || !outpostActions.has(action)) throw permissionDenied()
      }
      const created = await write(core, request, async ({ tx }) => {
        const id = await recordEvent(tx, {
          action: action as EventAction,
          app: source,
          // Always who really asks, whatever the body says.
          user: { pk: user.id, username: user.username, email: user.email },
          context,
          clientIp: clientOf(request, isOutpost ? clientIp : null),
        })
        return eventBody(await reloadRow<EventRow>(tx, eventTable(tx), id))
      })
      return reply.code(201).send(created)
    },
  )
}

/** An outpost speaks of its own clients; anybody else can only speak for himself. */
function clientOf(request: FastifyRequest, reported: string | null | undefined): string {
  return reported !== null && reported !== undefined && isIP(reported) !== 0
    ? reported
    : request.client.clientAddress
}

function eventBody(row: EventRow): Static<typeof EventBody> {
  return {
    pk: row.id,
    user: row.user,
    action: row.action,
    app: row.app,
    context: row.receipts === null ? row.context : { ...row.context, revocation_receipts: row.receipts },
    client_ip: row.client_ip,
    created: iso(row.created_at),
    expires: iso(row.expires_at),
    brand: row.brand,
  }
}
