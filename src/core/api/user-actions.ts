// What `/core/users/` has besides the seven verbs: the caller himself, paths, passwords, service accounts.
import Type from 'typebox'
import { principalOf } from '../access.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { invalid, permissionDenied } from '../errors.ts'
import { randomText } from '../secrets.ts'
import type { Principal } from '../sessions/principal.ts'
import { holds } from '../sessions/principal.ts'
import { endUserAccess } from '../sessions/revoke.ts'
import { avatarOf } from '../users/avatar.ts'
import { insertUser } from '../users/new-user.sql.ts'
import { audit } from './audit.ts'
import { insertGroup, setUsersOfGroup } from './groups.sql.ts'
import { permissions } from './permissions.ts'
import { requireNotAbove } from './privileges.ts'
import { findFor, modelOf, write } from './resource-write.ts'
import { Empty, errorResponses, IntegerKey, Json, onlyQuery, Time, Uuid } from './shapes.ts'
import { expiryOf } from './token-expiry.ts'
import { insertToken } from './tokens.sql.ts'
import { UserTypeName } from './user-shape.ts'
import type { SelfRow } from './users.sql.ts'
import { findSelf, setPassword, userPaths } from './users.sql.ts'
import { userResource } from './users.ts'
import { visibleRow } from './visible.sql.ts'

const Named = Type.Array(Type.Object({ name: Type.String(), pk: Type.String() }))
const UserSelf = Type.Object({
  pk: Type.Integer(),
  username: Type.String(),
  name: Type.String(),
  is_active: Type.Boolean(),
  is_superuser: Type.Boolean(),
  is_current: Type.Boolean(),
  groups: Named,
  roles: Named,
  email: Type.String(),
  avatar: Type.String(),
  uid: Type.String(),
  settings: Json,
  type: UserTypeName,
  system_permissions: Type.Array(Type.String()),
})
const params = Type.Object({ id: IntegerKey })
const tags = ['core']

export function registerUserActionRoutes(app: CoreApp, core: Core): void {
  app.get(
    '/api/v3/core/users/me/',
    {
      config: { access: 'authenticated' },
      schema: {
        operationId: 'core_users_me_retrieve',
        tags,
        response: { 200: Type.Object({ user: UserSelf, users: Type.Array(UserSelf) }), ...errorResponses },
      },
    },
    async request => {
      const principal = principalOf(request)
      const user = selfOf(principal, await findSelf(core.db, principal))
      return { user, users: [user] }
    },
  )
  app.get(
    '/api/v3/core/users/paths/',
    {
      config: { access: { object: 'authentik_core.view_user' } },
      schema: {
        operationId: 'core_users_paths_retrieve',
        tags,
        querystring: onlyQuery({ search: Type.Optional(Type.String()) }),
        response: { 200: Type.Object({ paths: Type.Array(Type.String()) }), ...errorResponses },
      },
    },
    async request => ({ paths: await userPaths(core.db, principalOf(request), request.query.search) }),
  )
  registerSetPassword(app, core)
  registerServiceAccount(app, core)
}

function registerSetPassword(app: CoreApp, core: Core): void {
  const permission = 'authentik_core.reset_user_password'
  app.post(
    '/api/v3/core/users/:id/set_password/',
    {
      config: { access: { object: permission } },
      schema: {
        operationId: 'core_users_set_password_create',
        tags,
        params,
        body: Type.Object({ password: Type.String({ minLength: 1, maxLength: 1024 }) }),
        response: { 204: Empty, ...errorResponses },
      },
    },
    async (request, reply) => {
      const principal = principalOf(request)
      const allowed = () => visibleRow(core.db, principal, permission)
      // Asked before the expensive hash and again in the transaction that writes it.
      await requireNotAbove(core.db, principal, [
        (await findFor(userResource, core.db, request, allowed(), false)).id,
      ])
      const hashed = await core.passwords.hash(request.body.password)
      await write(core, request, async context => {
        const { tx } = context
        const row = await findFor(userResource, tx, request, allowed(), true)
        await requireNotAbove(tx, principal, [row.id])
        if (row.type === 'internal_service_account')
          throw invalid({ password: 'Internal service accounts have no password.' })
        await setPassword(tx, row.id, hashed)
        const own = row.id === principal.user.id ? request.browserSession?.id : undefined
        const [revocation] = await endUserAccess(tx, core.bus, row, own)
        await audit(context, 'password_set', modelOf(userResource, row), {}, revocation?.id)
      })
      return reply.code(204).send()
    },
  )
}

function registerServiceAccount(app: CoreApp, core: Core): void {
  app.post(
    '/api/v3/core/users/service_account/',
    {
      config: { access: { permission: 'authentik_core.add_user' } },
      schema: {
        operationId: 'core_users_service_account_create',
        tags,
        body: Type.Object({
          name: Type.String({ minLength: 1, maxLength: 150, pattern: '^[-a-zA-Z0-9_.@+]+$' }),
          create_group: Type.Optional(Type.Boolean()),
          expiring: Type.Optional(Type.Boolean()),
          expires: Type.Optional(Time),
        }),
        response: {
          200: Type.Object({
            username: Type.String(),
            token: Type.String(),
            user_uid: Type.String(),
            user_pk: Type.Integer(),
            group_pk: Type.Optional(Uuid),
          }),
          ...errorResponses,
        },
      },
    },
    async request => {
      const { name, create_group: withGroup = false } = request.body
      const principal = principalOf(request)
      if (!holds(principal, 'authentik_core.add_token')) throw permissionDenied()
      if (withGroup && !holds(principal, 'authentik_core.add_group')) throw permissionDenied()
      const expiresAt = expiryOf(principal, request.body, core.now(), 360 * 86_400_000)
      const key = randomText(60)
      const identifier = `service-account-${name.replaceAll(/[^-a-zA-Z0-9_]/g, '-')}-password`
      return write(
        core,
        request,
        async context => {
          const { tx } = context
          const user = await insertUser(tx, core.installationId, {
            username: name,
            name,
            type: 'service_account',
            path: 'goauthentik.io/service-accounts',
          })
          await audit(context, 'model_created', {
            app: 'authentik_core',
            model_name: 'user',
            pk: String(user.id),
            name,
          })
          const tokenId = await insertToken(tx, core.secrets, {
            identifier,
            intent: 'app_password',
            userId: user.id,
            description: `Password of the service account ${name}`,
            key,
            expiresAt,
          })
          await audit(context, 'model_created', {
            app: 'authentik_core',
            model_name: 'token',
            pk: tokenId,
            name: identifier,
          })
          const answer = { username: name, token: key, user_uid: user.uid, user_pk: user.id }
          if (!withGroup) return answer
          const group = await insertGroup(tx, { name })
          await setUsersOfGroup(tx, group, [user.id])
          await audit(context, 'model_created', {
            app: 'authentik_core',
            model_name: 'group',
            pk: group,
            name,
          })
          return { ...answer, group_pk: group }
        },
        { users_username: 'name', groups_name_key: 'name', tokens_identifier_key: 'name' },
      )
    },
  )
}

function selfOf(principal: Principal, self: SelfRow) {
  const { user } = principal
  return {
    pk: user.id,
    username: user.username,
    name: user.name,
    is_active: true,
    is_superuser: principal.isSuperuser,
    is_current: true,
    groups: principal.groups.map(group => ({ name: group.name, pk: group.id })),
    roles: self.roles,
    email: user.email,
    avatar: avatarOf(user.name === '' ? user.username : user.name),
    uid: user.uid,
    settings: settingsOf([...self.group_attributes, user.attributes]),
    type: user.type,
    system_permissions: permissions
      .filter(
        entry => entry.model === 'systempermission' && holds(principal, `${entry.app}.${entry.codename}`),
      )
      .map(entry => entry.codename),
  }
}

/** The attribute `settings` of groups and user, later ones winning. */
function settingsOf(attributes: Record<string, unknown>[]): Record<string, unknown> {
  const merged: Record<string, unknown> = {}
  for (const { settings } of attributes)
    if (settings !== null && typeof settings === 'object' && !Array.isArray(settings))
      Object.assign(merged, settings)
  return merged
}
