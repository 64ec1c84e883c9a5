// Outposts, Core's side: their rows, accounts and permissions (`/outposts/instances/`), where they are deployed
// (`/outposts/service_connections/`), and what they are told (`/outposts/proxy/`). The WebSocket they hold open is the hub's, which the
// composition gives the listener; deploying them is not done here.
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { registerConnectionRoutes } from './connections-api.ts'
import { registerOutpostResource } from './outposts-api.ts'
import { registerProxyConfigRoutes } from './proxy-config.ts'

export function registerOutpostRoutes(app: CoreApp, core: Core): void {
  registerOutpostResource(app, core)
  registerConnectionRoutes(app, core)
  registerProxyConfigRoutes(app, core)
}
