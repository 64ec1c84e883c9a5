// Every room that answers requests, on one page. A room's own list is in its routes file.
import { registerApiRoutes } from './api/api-routes.ts'
import type { CoreApp } from './app.ts'
import { registerApplicationRoutes } from './applications/routes.ts'
import type { Core } from './core.ts'
import { createFlows } from './flows/flows.ts'
import { registerFlowApiRoutes } from './flows/flows-api.ts'
import { registerFlowRoutes } from './flows/routes.ts'
import { registerMediaRoutes } from './media/routes.ts'
import type { MediaFigures } from './media/serve.ts'
import { oidcFlowEnds, registerOidcRoutes } from './oidc/routes.ts'
import { registerOutpostRoutes } from './outposts/routes.ts'
import { registerPageRoutes } from './pages/routes.ts'
import { registerBindingRoutes } from './policies/bindings-api.ts'
import { registerProviderRoutes } from './providers/routes.ts'

/** Mounts everything Core answers. @returns what metrics are made of */
export function registerRoutes(app: CoreApp, core: Core): { media: MediaFigures } {
  const flows = createFlows({ core, ends: oidcFlowEnds })
  registerApiRoutes(app, core)
  registerProviderRoutes(app, core)
  registerApplicationRoutes(app, core)
  registerBindingRoutes(app, core)
  registerFlowApiRoutes(app, core)
  registerOutpostRoutes(app, core)
  registerFlowRoutes(app, core, flows)
  registerOidcRoutes(app, core, flows)
  const media = registerMediaRoutes(app, core)
  registerPageRoutes(app, core)
  return { media }
}
