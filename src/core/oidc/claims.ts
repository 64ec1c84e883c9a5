// What a token says about its user. Scopes are granted through mappings; the managed ones are functions here, known by their
// `managed` mark, and listed for the installation, which stores them so that administrators can pick them.
import type { Principal } from '../sessions/principal.ts'
import type { MappingRow } from './provider.sql.ts'

export interface ManagedScope {
  managed: string
  name: string
  scopeName: string
  /** shown on the consent page; empty = not worth mentioning */
  description: string
  /** CEL that says the same as the function, for people who read the mapping */
  expression: string
}

/** Whom the claims are about. */
export interface ClaimSubject {
  principal: Principal
  /** attributes of the user's groups, by name of the group */
  groupAttributes: Record<string, unknown>[]
}

type Claims = Record<string, unknown>
type BuiltIn = ManagedScope & { claims(subject: ClaimSubject): Claims }

const oauth2 = 'goauthentik.io/providers/oauth2'

const builtIn: BuiltIn[] = [
  {
    managed: `${oauth2}/scope-openid`,
    name: "authentik default OAuth Mapping: OpenID 'openid'",
    scopeName: 'openid',
    description: '',
    expression: '{}',
    claims: () => ({}),
  },
  {
    managed: `${oauth2}/scope-email`,
    name: "authentik default OAuth Mapping: OpenID 'email'",
    scopeName: 'email',
    description: 'Email address',
    expression: '{"email": user.email, "email_verified": user.email_verified}',
    claims: ({ principal: { user } }) => ({ email: user.email, email_verified: user.email_verified }),
  },
  {
    managed: `${oauth2}/scope-profile`,
    name: "authentik default OAuth Mapping: OpenID 'profile'",
    scopeName: 'profile',
    description: 'General profile information',
    expression:
      '{"name": user.name, "given_name": user.name, "preferred_username": user.username, "nickname": user.username, "groups": user.groups.map(g, g.name)}',
    claims: ({ principal: { user, groups } }) => ({
      name: user.name,
      given_name: user.name,
      preferred_username: user.username,
      nickname: user.username,
      groups: groups.map(group => group.name),
    }),
  },
  {
    managed: `${oauth2}/scope-entitlements`,
    name: 'authentik default OAuth Mapping: Application Entitlements',
    scopeName: 'entitlements',
    description: 'Application entitlements',
    expression: '{"entitlements": [], "roles": []}',
    claims: () => ({ entitlements: [], roles: [] }),
  },
  {
    managed: `${oauth2}/scope-offline_access`,
    name: "authentik default OAuth Mapping: OpenID 'offline_access'",
    scopeName: 'offline_access',
    description: 'Access while you are not signed in',
    expression: '{}',
    claims: () => ({}),
  },
  {
    managed: `${oauth2}/scope-authentik_api`,
    name: 'authentik default OAuth Mapping: authentik API access',
    scopeName: 'goauthentik.io/api',
    description: 'Use of the API of this identity provider on your behalf',
    expression: '{}',
    claims: () => ({}),
  },
  {
    managed: 'goauthentik.io/providers/proxy/scope-proxy',
    name: 'authentik default OAuth Mapping: Proxy outpost',
    scopeName: 'ak_proxy',
    description: 'Attributes of your account',
    expression:
      '{"ak_proxy": {"user_attributes": user.group_attributes(), "is_superuser": user.is_superuser}}',
    claims: ({ principal, groupAttributes }) => ({
      ak_proxy: {
        user_attributes: [...groupAttributes, principal.user.attributes].reduce(merged, {}),
        is_superuser: principal.isSuperuser,
      },
    }),
  },
]

/** The mappings every installation begins with. */
export const managedScopes: readonly ManagedScope[] = builtIn.map(({ claims: _claims, ...scope }) => scope)

const byMark = new Map(builtIn.map(scope => [scope.managed, scope]))

/** Scopes that are never granted without being asked for, by the client and then of the user: they outlive the session or act as the user. */
export const onRequest: ReadonlySet<string> = new Set(['offline_access', 'goauthentik.io/api'])

/**
 * Scopes granted for a request: what is asked for and mapped, in the order asked; nothing asked = all that is mapped and harmless.
 * `openid` needs no mapping. Unknown scopes are dropped (RFC 6749 §3.3), for every grant.
 */
export function grantedScopes(requested: string[], mappings: readonly MappingRow[]): string[] {
  const mapped = new Set(['openid', ...mappings.map(mapping => mapping.scope_name)])
  if (requested.length === 0) return [...mapped].filter(scope => !onRequest.has(scope))
  return requested.filter(scope => mapped.has(scope))
}

/**
 * Claims of the granted scopes, mappings in the order of their names, later ones winning.
 * @param onUnknown called for a mapping that is none of ours: its claims are left out
 */
export function claimsOf(
  subject: ClaimSubject,
  scopes: readonly string[],
  mappings: readonly MappingRow[],
  onUnknown: (mapping: MappingRow) => void,
): Claims {
  const claims: Claims = {}
  for (const mapping of mappings) {
    if (!scopes.includes(mapping.scope_name)) continue
    const known = mapping.managed === null ? undefined : byMark.get(mapping.managed)
    if (known === undefined) onUnknown(mapping)
    else Object.assign(claims, known.claims(subject))
  }
  return claims
}

/** The `sub` claim. A mode whose value the user does not have falls back to `uid`, which is never empty and never reused. */
export function subOf(subMode: string, { user }: Principal): string {
  const chosen: Record<string, unknown> = {
    user_id: String(user.id),
    user_uuid: user.uuid,
    user_username: user.username,
    user_email: user.email,
    user_upn: user.attributes.upn,
  }
  const value = chosen[subMode]
  return typeof value === 'string' && value !== '' ? value : user.uid
}

/** How the user proved who they are (RFC 8176), from what the login stored. */
export function amrOf(authMethod: string, authArgs: Record<string, unknown>): string[] {
  const methods: string[] = []
  if (authMethod === 'password' || authMethod === 'token') methods.push('pwd')
  if (authMethod === 'auth_webauthn_pwl') methods.push('webauthn')
  const devices = authArgs.mfa_devices
  if (authMethod === 'auth_mfa' || (Array.isArray(devices) && devices.length > 0)) methods.push('mfa')
  return methods
}

function merged(into: Record<string, unknown>, from: Record<string, unknown>): Record<string, unknown> {
  const result = { ...into }
  for (const [key, value] of Object.entries(from)) {
    const before = result[key]
    if (isPlain(before) && isPlain(value)) result[key] = merged(before, value)
    else if (Array.isArray(before) && Array.isArray(value)) result[key] = [...before, ...value]
    else Object.defineProperty(result, key, { value, enumerable: true, configurable: true, writable: true })
  }
  return result
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
