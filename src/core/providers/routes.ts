// Providers: how an application signs people in.
//
// Owns `/providers/…` and `/propertymappings/…` of the API and the tables providers, oauth2_providers, proxy_providers,
// provider_property_mappings and jwt_federation_providers. Programs use createProxyProvider and updateProxyProviderHosts. What a
// provider does in a login is in ../oidc, what an outpost is told about it in ../outposts.
import { registerResource } from '../api/resource.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { registerAllProviders } from './all-providers.ts'
import { oauth2Resource } from './oauth2-providers.ts'
import { registerOAuth2Views } from './oauth2-views.ts'
import { registerPropertyMappings } from './property-mappings.ts'
import { proxyResource } from './proxy-providers.ts'

export function registerProviderRoutes(app: CoreApp, core: Core): void {
  registerAllProviders(app, core)
  registerResource(app, core, oauth2Resource)
  registerOAuth2Views(app, core)
  registerResource(app, core, proxyResource)
  registerPropertyMappings(app, core)
}
