// `/core/authenticated_sessions/`: who is signed in where. Deleting one ends it in Core and at every outpost, and leaves a logout
// event that knows which revocation to look at.
import Type from 'typebox'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { endSessions, endUserAccess } from '../sessions/revoke.ts'
import { audit, type WriteContext } from './audit.ts'
import type { AuthenticatedSessionRow, SessionQuery } from './authenticated-sessions.sql.ts'
import {
  sessionConditions,
  sessionOrdering,
  sessionReach,
  sessionTable,
  usersWithSessions,
} from './authenticated-sessions.sql.ts'
import { requireNotAbove } from './privileges.ts'
import { registerResource } from './resource.ts'
import type { Resource, WriteResult } from './resource-definition.ts'
import { modelOf, write } from './resource-write.ts'
import {
  errorResponses,
  IntegerKey,
  iso,
  Json,
  listQuery,
  nullable,
  onlyQuery,
  Time,
  Uuid,
} from './shapes.ts'
import { parseUserAgent, UserAgentBody } from './user-agent.ts'

const SessionBody = Type.Object({
  uuid: Uuid,
  current: Type.Boolean(),
  user_agent: UserAgentBody,
  geo_ip: nullable(Json),
  asn: nullable(Json),
  user: Type.Integer(),
  last_ip: Type.String(),
  last_user_agent: Type.String(),
  last_used: Time,
  expires: Time,
})

const exactly = Type.Optional(Type.String())

export const sessionResource: Resource<AuthenticatedSessionRow, Record<string, never>, SessionQuery> = {
  path: '/core/authenticated_sessions/',
  parameter: ['uuid', Uuid],
  operation: 'core_authenticated_sessions',
  app: 'authentik_core',
  model: 'authenticatedsession',
  body: SessionBody,
  query: listQuery({
    session__last_ip: exactly,
    session__last_user_agent: exactly,
    user__username: exactly,
  }),
  table: sessionTable,
  where: sessionConditions,
  ordering: sessionOrdering,
  defaultOrder: '-last_used',
  reach: sessionReach,
  access: {
    view: { by: 'own sessions, and those view_authenticatedsession is held on' },
    delete: { by: 'own sessions, and those delete_authenticatedsession is held on' },
  },
  toBody: (row, { request }) => ({
    uuid: row.id,
    current: row.id === request.browserSession?.id,
    user_agent: parseUserAgent(row.user_agent),
    geo_ip: null,
    asn: null,
    user: row.user_id,
    last_ip: row.last_ip,
    last_user_agent: row.user_agent,
    last_used: iso(row.last_used_at),
    expires: iso(row.expires_at),
  }),
  label: row => ({ pk: row.id, name: row.username }),
  remove,
}

export function registerSessionRoutes(app: CoreApp, core: Core): void {
  app.delete(
    '/api/v3/core/authenticated_sessions/bulk_delete/',
    {
      config: { access: { permission: 'authentik_core.delete_authenticatedsession' } },
      schema: {
        operationId: 'core_authenticated_sessions_bulk_delete_destroy',
        tags: ['core'],
        querystring: onlyQuery({ user_pks: Type.Array(IntegerKey, { minItems: 1, maxItems: 1000 }) }),
        response: { 200: Type.Object({ deleted: Type.Integer() }), ...errorResponses },
      },
    },
    async request => {
      const deleted = await write(core, request, async context => {
        const { tx, principal } = context
        const users = await usersWithSessions(tx, request.query.user_pks)
        await requireNotAbove(
          tx,
          principal,
          users.map(user => user.id),
        )
        for (const user of users) {
          const [revocation] = await endUserAccess(tx, core.bus, user)
          const model = {
            app: 'authentik_core',
            model_name: 'user',
            pk: String(user.id),
            name: user.username,
          }
          await audit(context, 'logout', model, { sessions_ended: user.sessions }, revocation?.id)
        }
        return users.reduce((sum, user) => sum + user.sessions, 0)
      })
      return { deleted }
    },
  )
  registerResource(app, core, sessionResource)
}

/** Deleting is a logout as well; its event carries the revocation. */
async function remove(context: WriteContext, row: AuthenticatedSessionRow): Promise<WriteResult> {
  const { core, tx, principal } = context
  await requireNotAbove(tx, principal, [row.user_id])
  const [revocation] = await endSessions(tx, core.bus, [row.id])
  await audit(context, 'logout', modelOf(sessionResource, row), {}, revocation?.id)
  return {}
}
