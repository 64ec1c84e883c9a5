// The API of people, groups, roles, tokens, brands, certificates, sessions, consents, events and the system itself.
import type { RouteOptions } from 'fastify'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { registerSessionRoutes } from './authenticated-sessions.ts'
import { registerBrandResource } from './brands.ts'
import { registerCertificateActionRoutes } from './certificate-actions.ts'
import { registerCertificateResource } from './certificates.ts'
import { registerConsentRoutes } from './consents.ts'
import { registerCurrentBrandRoute } from './current-brand.ts'
import { registerEventRoutes } from './events.ts'
import { registerGroupRoutes } from './groups.ts'
import { registerPermissionRoutes } from './permission-list.ts'
import { registerRoleRoutes } from './roles.ts'
import { registerSchemaRoute } from './schema.ts'
import { registerSystemRoutes } from './system.ts'
import { registerTokenRoutes } from './tokens.ts'
import { registerUserActionRoutes } from './user-actions.ts'
import { registerUserResource } from './users.ts'

/** To be called before the other rooms' routes: `/schema/` describes what is registered from here on. */
export function registerApiRoutes(app: CoreApp, core: Core): void {
  const routes: RouteOptions[] = []
  app.addHook('onRoute', route => {
    routes.push(route)
  })
  registerUserResource(app, core)
  registerUserActionRoutes(app, core)
  registerGroupRoutes(app, core)
  registerRoleRoutes(app, core)
  registerPermissionRoutes(app, core)
  registerTokenRoutes(app, core)
  registerBrandResource(app, core)
  registerCurrentBrandRoute(app, core)
  registerCertificateResource(app, core)
  registerCertificateActionRoutes(app, core)
  registerSessionRoutes(app, core)
  registerConsentRoutes(app, core)
  registerEventRoutes(app, core)
  registerSystemRoutes(app, core)
  registerSchemaRoute(app, core, routes)
}
