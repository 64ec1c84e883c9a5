// Who makes a request: a user with groups, roles and global permissions, by session cookie, API token or OAuth access token.

export type UserType = 'internal' | 'external' | 'service_account' | 'internal_service_account'

export interface PrincipalUser {
  id: number
  uuid: string
  /** stable 64 hex digits, the default OIDC `sub` */
  uid: string
  username: string
  name: string
  email: string
  email_verified: boolean
  type: UserType
  path: string
  attributes: Record<string, unknown>
}

export interface Principal {
  user: PrincipalUser
  isSuperuser: boolean
  /** direct groups */
  groups: { id: string; name: string }[]
  /** ids of all roles, those of ancestor groups included */
  roleIds: string[]
  /** permissions held on every object */
  permissions: ReadonlySet<string>
}

/** A browser session; `principal` is null while nobody has signed in. */
export interface BrowserSession {
  id: string
  keyHash: Buffer
  principal: Principal | null
  createdAt: Date
  lastUsedAt: Date
  expiresAt: Date
  authMethod: string
  authArgs: Record<string, unknown>
  /** time of the login, null while anonymous */
  authAt: Date | null
  lastIp: string
  userAgent: string
  /** position in the log of what this session wrote last, for lists read elsewhere; null = nothing */
  readAfter: string | null
}

/** True when the principal holds `permission` on every object. */
export function holds(principal: Principal, permission: string): boolean {
  return principal.isSuperuser || principal.permissions.has(permission)
}
