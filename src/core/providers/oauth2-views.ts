// What helps to set a client up: the addresses it needs, and the claims it would get about somebody.
import Type from 'typebox'
import { principalOf } from '../access.ts'
import { findFor } from '../api/resource-write.ts'
import { errorResponses, IntegerKey, Json, nullable, onlyQuery } from '../api/shapes.ts'
import type { CoreApp } from '../app.ts'
import { findVisibleUser } from '../applications/for-user.sql.ts'
import type { Core } from '../core.ts'
import { invalid } from '../errors.ts'
import { subOf } from '../oidc/claims.ts'
import { loadProvider } from '../oidc/provider.ts'
import { findGroupAttributes } from '../oidc/tokens.sql.ts'
import { mappedClaims } from '../oidc/tokens.ts'
import { issuerOf, oidcUrls } from '../oidc/urls.ts'
import { findPrincipal } from '../sessions/sessions.sql.ts'
import { oauth2Resource } from './oauth2-providers.ts'

const item = '/api/v3/providers/oauth2/:id/'
const params = Type.Object({ id: IntegerKey })
const address = nullable(Type.String())

export function registerOAuth2Views(app: CoreApp, core: Core): void {
  app.get(
    `${item}setup_urls/`,
    {
      config: { access: { object: 'authentik_providers_oauth2.view_oauth2provider' } },
      schema: {
        operationId: 'providers_oauth2_setup_urls_retrieve',
        tags: ['providers'],
        params,
        response: {
          200: Type.Object({
            issuer: address,
            authorize: Type.String(),
            token: Type.String(),
            user_info: Type.String(),
            provider_info: address,
            logout: address,
            jwks: address,
            dcr_registration: address,
          }),
          ...errorResponses,
        },
      },
    },
    async request => {
      const row = await findFor(oauth2Resource, core.db, request, 'view', false)
      const slug = row.application_slug
      const urls = oidcUrls(core.baseUrl, slug ?? '', { issuerMode: row.issuer_mode })
      const ofApplication = (url: string) => (slug === null ? null : url)
      return {
        issuer: row.issuer_mode === 'global' ? urls.issuer : ofApplication(urls.issuer),
        authorize: urls.authorization_endpoint,
        token: urls.token_endpoint,
        user_info: urls.userinfo_endpoint,
        provider_info: ofApplication(
          `${core.baseUrl.origin}/application/o/${slug}/.well-known/openid-configuration`,
        ),
        logout: ofApplication(urls.end_session_endpoint),
        jwks: ofApplication(urls.jwks_uri),
        dcr_registration: null,
      }
    },
  )
  app.get(
    `${item}preview_user/`,
    {
      config: { access: { by: 'change on the provider, and view on the user' } },
      schema: {
        operationId: 'providers_oauth2_preview_user_retrieve',
        tags: ['providers'],
        params,
        querystring: onlyQuery({ for_user: Type.Optional(IntegerKey) }),
        response: { 200: Type.Object({ preview: Json }), ...errorResponses },
      },
    },
    async request => {
      const row = await findFor(oauth2Resource, core.db, request, 'change', false)
      const caller = principalOf(request)
      const userId = request.query.for_user ?? caller.user.id
      if (userId !== caller.user.id && (await findVisibleUser(core.db, caller, userId)) === undefined)
        throw invalid({ for_user: `Invalid pk "${userId}" - object does not exist.` })
      const principal = await findPrincipal(core.db, userId)
      if (principal === undefined) throw invalid({ for_user: 'This user is not active and gets no token.' })
      const provider = await loadProvider(core, core.db, { id: row.id })
      if (provider === undefined)
        throw invalid({ non_field_errors: 'Give the provider to an application first.' })
      const groupAttributes = await findGroupAttributes(core.db, userId)
      const scopes = provider.mappings.map(mapping => mapping.scope_name)
      return {
        preview: {
          ...mappedClaims(core, provider, { principal, groupAttributes, scopes }),
          iss: issuerOf(core.baseUrl, provider.application.slug, provider.issuerMode),
          sub: subOf(provider.subMode, principal),
          aud: provider.clientId,
        },
      }
    },
  )
}
