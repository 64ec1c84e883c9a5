// Applications: what users open and administrators put providers behind.
//
// Owns `/core/applications/…` of the API and the table applications. Programs use createApplication. Who may open one is decided in
// ../policies, where it is opened in ../pages.
import Type from 'typebox'
import { principalOf } from '../access.ts'
import { registerResource } from '../api/resource.ts'
import { findFor } from '../api/resource-write.ts'
import { errorResponses, IntegerKey, Json, onlyQuery } from '../api/shapes.ts'
import { visibleRow } from '../api/visible.sql.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { invalid } from '../errors.ts'
import { mayUserAccess } from '../policies/bindings.ts'
import { applicationResource, SlugKey } from './applications.ts'
import { findVisibleUser } from './for-user.sql.ts'

export function registerApplicationRoutes(app: CoreApp, core: Core): void {
  registerResource(app, core, applicationResource)
  app.get(
    '/api/v3/core/applications/:slug/check_access/',
    {
      config: {
        access: { by: 'for oneself as the application; for others view on it and on the user' },
      },
      schema: {
        operationId: 'core_applications_check_access_retrieve',
        tags: ['core'],
        params: Type.Object({ slug: SlugKey }),
        querystring: onlyQuery({ for_user: Type.Optional(IntegerKey) }),
        response: {
          200: Type.Object({
            passing: Type.Boolean(),
            messages: Type.Array(Type.String()),
            log_messages: Type.Array(Json),
          }),
          ...errorResponses,
        },
      },
    },
    async request => {
      const caller = principalOf(request)
      const userId = request.query.for_user ?? caller.user.id
      if (userId === caller.user.id) {
        const application = await findFor(applicationResource, core.db, request, 'view', false)
        const verdict = await mayUserAccess(core.db, userId, application.id, application.policy_engine_mode)
        return { ...verdict, log_messages: [] }
      }
      const view = visibleRow(core.db, caller, 'authentik_core.view_application')
      const application = await findFor(applicationResource, core.db, request, view, false)
      const user = await findVisibleUser(core.db, caller, userId)
      if (user === undefined) throw invalid({ for_user: `Invalid pk "${userId}" - object does not exist.` })
      if (!user.is_active) return { passing: false, messages: ['The user is not active.'], log_messages: [] }
      const verdict = await mayUserAccess(core.db, userId, application.id, application.policy_engine_mode)
      return { ...verdict, log_messages: [] }
    },
  )
}
