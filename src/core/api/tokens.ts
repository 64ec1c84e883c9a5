// `/core/tokens/`: keys for the API and app passwords. A key stands in no body; `view_key` is the one way to read it, and leaves an
// event. Owners see and keep their own tokens; those the system manages are changed by permission only.
import type { Static } from 'typebox'
import Type from 'typebox'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { invalid, notFound } from '../errors.ts'
import { randomText } from '../secrets.ts'
import { holds } from '../sessions/principal.ts'
import type { WriteContext } from './audit.ts'
import { audit } from './audit.ts'
import { requireNotAbove } from './privileges.ts'
import { requireReferences } from './references.sql.ts'
import { removeRow, updateColumns } from './resource.sql.ts'
import { registerResource } from './resource.ts'
import type { Resource, WriteResult } from './resource-definition.ts'
import { findFor, modelOf, write } from './resource-write.ts'
import { Empty, errorResponses, IntegerKey, isoOrNull, listQuery, nullable, Time, Uuid } from './shapes.ts'
import { expiryOf } from './token-expiry.ts'
import type { TokenQuery, TokenRow } from './tokens.sql.ts'
import {
  insertToken,
  sealedKeyOf,
  setTokenKey,
  tokenConditions,
  tokenKeyReach,
  tokenOrdering,
  tokenReach,
  tokenTable,
} from './tokens.sql.ts'
import { ownerBody, UserBody } from './user-shape.ts'
import { visibleRow } from './visible.sql.ts'

const Intent = Type.Enum(['verification', 'api', 'recovery', 'app_password'])
const Identifier = Type.String({ minLength: 1, maxLength: 255, pattern: '^[-a-zA-Z0-9_]+$' })
const TokenBody = Type.Object({
  pk: Uuid,
  managed: nullable(Type.String()),
  identifier: Type.String(),
  intent: Intent,
  user: Type.Integer(),
  user_obj: UserBody,
  description: Type.String(),
  expires: nullable(Time),
  expiring: Type.Boolean(),
})
const TokenInput = Type.Object({
  identifier: Identifier,
  intent: Type.Optional(Intent),
  user: Type.Optional(IntegerKey),
  description: Type.Optional(Type.String({ maxLength: 10_000 })),
  expires: Type.Optional(nullable(Time)),
  expiring: Type.Optional(Type.Boolean()),
})
type TokenInput = Static<typeof TokenInput>

export const tokenResource: Resource<TokenRow, TokenInput, TokenQuery> = {
  path: '/core/tokens/',
  parameter: ['identifier', Identifier],
  operation: 'core_tokens',
  app: 'authentik_core',
  model: 'token',
  body: TokenBody,
  write: TokenInput,
  query: listQuery({
    description: Type.Optional(Type.String()),
    expires: Type.Optional(Time),
    expiring: Type.Optional(Type.Boolean()),
    identifier: Type.Optional(Type.String()),
    intent: Type.Optional(Intent),
    managed: Type.Optional(Type.String()),
    user__username: Type.Optional(Type.String()),
  }),
  table: tokenTable,
  where: tokenConditions,
  ordering: tokenOrdering,
  reach: tokenReach,
  access: {
    view: { by: 'own tokens, and those view_token is held on' },
    add: { by: 'everybody for himself; for others with set_token_user' },
    change: { by: 'own tokens that nobody manages, and those change_token is held on' },
    delete: { by: 'own tokens that nobody manages, and those delete_token is held on' },
  },
  toBody: row => ({
    pk: row.id,
    managed: row.managed,
    identifier: row.identifier,
    intent: row.intent,
    user: row.user_id,
    user_obj: ownerBody(row.owner),
    description: row.description,
    expires: isoOrNull(row.expires_at),
    expiring: row.expires_at !== null,
  }),
  label: row => ({ pk: row.id, name: row.identifier }),
  insert,
  update,
  remove,
  unique: { tokens_identifier_key: 'identifier' },
}

export function registerTokenRoutes(app: CoreApp, core: Core): void {
  registerResource(app, core, tokenResource)
  registerKeyRoutes(app, core)
}

async function insert(context: WriteContext, input: TokenInput): Promise<string> {
  const { core, tx, principal } = context
  const intent = input.intent ?? 'api'
  checkIntent(intent)
  const userId = await ownerFor(context, input.user, principal.user.id)
  return insertToken(tx, core.secrets, {
    identifier: input.identifier,
    intent,
    userId,
    description: input.description ?? '',
    key: randomText(60),
    expiresAt: expiryOf(principal, input, core.now()),
  })
}

async function update(
  context: WriteContext,
  row: TokenRow,
  input: Partial<TokenInput>,
): Promise<WriteResult> {
  const { core, tx, principal } = context
  await requireNotAbove(tx, principal, [row.user_id])
  if (input.intent !== undefined && input.intent !== row.intent) checkIntent(input.intent)
  const touchesExpiry = input.expires !== undefined || input.expiring !== undefined
  const sameExpiry =
    (input.expiring ?? row.expires_at !== null) === (row.expires_at !== null) &&
    (input.expires === undefined || sameTime(input.expires, row.expires_at))
  await updateColumns(tx, 'tokens', row.id, {
    identifier: input.identifier,
    intent: input.intent,
    user_id: await ownerFor(context, input.user, row.user_id),
    description: input.description,
    expires_at:
      touchesExpiry && !sameExpiry
        ? expiryOf(principal, { expiring: row.expires_at !== null, ...input }, core.now())
        : undefined,
  })
  return {}
}

async function remove({ tx, principal }: WriteContext, row: TokenRow): Promise<WriteResult> {
  await requireNotAbove(tx, principal, [row.user_id])
  await removeRow(tx, 'tokens', row.id)
  return {}
}

/** The owner named in a body counts only with `set_token_user`, and only for accounts that may do no more than the caller. */
async function ownerFor(context: WriteContext, asked: number | undefined, owner: number): Promise<number> {
  const { tx, principal } = context
  if (asked === undefined || asked === owner || !holds(principal, 'authentik_core.set_token_user'))
    return owner
  await requireReferences(
    tx,
    principal,
    'user',
    { table: 'users', permission: 'authentik_core.view_user', type: 'int' },
    [asked],
  )
  await requireNotAbove(tx, principal, [asked])
  return asked
}

/** The other two are made by flows alone. */
function checkIntent(intent: string): void {
  if (intent !== 'api' && intent !== 'app_password')
    throw invalid({ intent: 'Only "api" and "app_password" can be chosen here.' })
}

function sameTime(asked: string | null, stored: Date | null): boolean {
  return asked === null ? stored === null : stored !== null && new Date(asked).getTime() === stored.getTime()
}

function registerKeyRoutes(app: CoreApp, core: Core): void {
  const params = Type.Object({ identifier: Identifier })
  const item = '/api/v3/core/tokens/:identifier/'
  app.get(
    `${item}view_key/`,
    {
      config: { access: { by: 'own tokens that nobody manages, and those view_token_key is held on' } },
      schema: {
        operationId: 'core_tokens_view_key_retrieve',
        tags: ['core'],
        params,
        response: { 200: Type.Object({ key: Type.String() }), ...errorResponses },
      },
    },
    request =>
      write(core, request, async context => {
        const { tx, principal } = context
        const row = await findFor(tokenResource, tx, request, tokenKeyReach(tx, principal), false)
        await requireNotAbove(tx, principal, [row.user_id])
        const sealed = await sealedKeyOf(tx, row.id)
        if (sealed === null) throw notFound()
        await audit(context, 'secret_view', modelOf(tokenResource, row))
        return { key: core.secrets.open('token_key', sealed) }
      }),
  )
  app.post(
    `${item}set_key/`,
    {
      config: { access: { object: 'authentik_core.set_token_key' } },
      schema: {
        operationId: 'core_tokens_set_key_create',
        tags: ['core'],
        params,
        body: Type.Object({ key: Type.String({ minLength: 1, maxLength: 1024 }) }),
        response: { 204: Empty, ...errorResponses },
      },
    },
    async (request, reply) => {
      await write(
        core,
        request,
        async context => {
          const { tx, principal } = context
          const allowed = visibleRow(tx, principal, 'authentik_core.set_token_key')
          const row = await findFor(tokenResource, tx, request, allowed, true)
          await requireNotAbove(tx, principal, [row.user_id])
          const { key } = request.body
          if (key.length < shortestKey || !/^[\x21-\x7e]+$/.test(key))
            throw invalid({
              key: `Use at least ${shortestKey} characters, none of them a space or outside ASCII.`,
            })
          await setTokenKey(tx, core.secrets, row.id, key)
          await audit(context, 'secret_rotate', modelOf(tokenResource, row))
        },
        { tokens_key_hash_key: 'key' },
      )
      return reply.code(204).send()
    },
  )
}

/** Keys are stored as a fast hash, so only one that cannot be guessed is safe. */
const shortestKey = 20
