// `/core/applications/`: what users open. The list is what the caller may open, unless he may and does ask for more; saving one tells the
// outposts that serve its provider, because its slug is part of the issuer and a provider without application is not served at all.
import type { Static } from 'typebox'
import Type from 'typebox'
import type { Tx } from '../../pg/db.ts'
import type { WriteContext } from '../api/audit.ts'
import { insertColumns, updateColumns } from '../api/resource.sql.ts'
import type { Resource, WriteResult } from '../api/resource-definition.ts'
import { IntegerKey, listQuery, nullable, Uuid } from '../api/shapes.ts'
import { visibleRow } from '../api/visible.sql.ts'
import type { Core } from '../core.ts'
import { invalid } from '../errors.ts'
import { imageAddress, isImageAddress } from '../media/address.ts'
import { reservedSlugs } from '../oidc/urls.ts'
import { outpostsChanged } from '../outposts/changed.ts'
import { launchUrl } from '../policies/launch-url.ts'
import { accessChanged } from '../policies/lost-access.ts'
import { ProviderBody, providerBody } from '../providers/provider-shape.ts'
import { providerIsVisible } from '../providers/providers.sql.ts'
import type { PrincipalUser } from '../sessions/principal.ts'
import { endProviderAccess } from '../sessions/revoke.ts'
import type { ApplicationQuery, ApplicationRow } from './applications.sql.ts'
import {
  applicationConditions,
  applicationOrdering,
  applicationTable,
  applicationVisible,
  deleteApplication,
  proxyClientId,
} from './applications.sql.ts'

const text = (maxLength: number) => Type.String({ maxLength })

/** What is both shown and written. */
const settings = {
  provider: nullable(IntegerKey),
  backchannel_providers: Type.Array(IntegerKey),
  open_in_new_tab: Type.Boolean(),
  meta_launch_url: text(2000),
  meta_icon: text(2000),
  meta_description: text(10_000),
  meta_publisher: text(500),
  policy_engine_mode: Type.Enum(['any', 'all']),
  group: text(500),
  meta_hide: Type.Boolean(),
}
const Themed = Type.Object({ light: Type.String(), dark: Type.String() })

const ApplicationBody = Type.Object({
  pk: Uuid,
  pbm_uuid: Uuid,
  name: Type.String(),
  slug: Type.String(),
  ...settings,
  provider_obj: nullable(ProviderBody),
  backchannel_providers_obj: Type.Array(ProviderBody),
  launch_url: nullable(Type.String()),
  meta_icon_url: nullable(Type.String()),
  meta_icon_themed_urls: nullable(Themed),
})
/** The last part of a path; a character that PostgreSQL cannot store is in no slug. */
export const SlugKey = Type.String({ maxLength: 255, pattern: '^[^\\u0000]+$' })
const ApplicationInput = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 500 }),
  slug: Type.String({ minLength: 1, maxLength: 100, pattern: '^[-a-zA-Z0-9_]+$' }),
  ...Type.Partial(Type.Object(settings)).properties,
})
export type ApplicationInput = Static<typeof ApplicationInput>

const exactly = Type.Optional(Type.String())
const flag = Type.Optional(Type.Boolean())

export const applicationResource: Resource<ApplicationRow, ApplicationInput, ApplicationQuery> = {
  path: '/core/applications/',
  parameter: ['slug', SlugKey],
  operation: 'core_applications',
  app: 'authentik_core',
  model: 'application',
  body: ApplicationBody,
  write: ApplicationInput,
  query: listQuery({
    for_user: Type.Optional(IntegerKey),
    group: exactly,
    meta_description: exactly,
    meta_launch_url: exactly,
    meta_publisher: exactly,
    name: exactly,
    only_with_launch_url: flag,
    slug: exactly,
    superuser_full_list: flag,
  }),
  table: applicationTable,
  where: applicationConditions,
  ordering: applicationOrdering,
  access: { view: { by: 'view on the application, or its bindings let the caller open it' } },
  reach: (db, principal, action) =>
    action === 'view'
      ? applicationVisible(db, principal)
      : visibleRow(db, principal, `authentik_core.${action}_application`),
  toBody: (row, { request }) => applicationBody(row, row.viewer ?? request.principal?.user ?? null),
  label: row => ({ pk: row.id, name: row.name }),
  insert,
  update,
  remove,
  unique: { applications_slug_key: 'slug', applications_provider_id_key: 'provider' },
  referrers: [
    {
      table: 'policy_bindings',
      column: 'target_id',
      app: 'authentik_policies',
      model: 'policybinding',
      name: 'id',
      action: 'cascade',
    },
    {
      table: 'brands',
      column: 'default_application_id',
      app: 'authentik_core',
      model: 'brand',
      name: 'domain',
      action: 'set_null',
    },
    {
      table: 'user_consents',
      column: 'application_id',
      app: 'authentik_core',
      model: 'userconsent',
      name: 'id',
      action: 'cascade',
    },
  ],
}

function applicationBody(row: ApplicationRow, viewer: PrincipalUser | null): Static<typeof ApplicationBody> {
  const icon = imageAddress(row.meta_icon, row.icon_files)
  return {
    pk: row.id,
    pbm_uuid: row.id,
    name: row.name,
    slug: row.slug,
    provider: row.provider_id,
    provider_obj: row.provider === null ? null : providerBody(row.provider),
    backchannel_providers: [],
    backchannel_providers_obj: [],
    launch_url: launchUrl(row, viewer),
    open_in_new_tab: row.open_in_new_tab,
    meta_launch_url: row.meta_launch_url,
    meta_icon: row.meta_icon,
    meta_icon_url: icon.url,
    meta_icon_themed_urls: icon.themed,
    meta_description: row.meta_description,
    meta_publisher: row.meta_publisher,
    policy_engine_mode: row.policy_engine_mode,
    group: row.group,
    meta_hide: row.meta_hide,
  }
}

async function insert(context: WriteContext, input: ApplicationInput): Promise<string> {
  await checkProvider(context, input.provider)
  return (await createApplication(context.tx, context.core, input)).pk
}

/**
 * Creates an application; the outposts of its provider begin to serve it.
 * @param input as in the API; `provider` is an id
 * @throws ApiError 400 on a field; the database's error for a slug or provider that is taken
 */
export async function createApplication(
  tx: Tx,
  core: Pick<Core, 'bus'>,
  input: ApplicationInput,
): Promise<{ pk: string; slug: string }> {
  check(input)
  const pk = await insertColumns<string>(tx, 'applications', columnsOf(input))
  if (typeof input.provider === 'number') await outpostsChanged(tx, core, { providers: [input.provider] })
  return { pk, slug: input.slug }
}

async function update(
  context: WriteContext,
  row: ApplicationRow,
  input: Partial<ApplicationInput>,
): Promise<WriteResult> {
  const { core, tx } = context
  if (input.provider !== row.provider_id) await checkProvider(context, input.provider)
  check(input)
  await updateColumns(tx, 'applications', row.id, columnsOf(input))
  const now = input.provider === undefined ? row.provider_id : input.provider
  const told = now !== row.provider_id || differs(row.slug, input.slug) || differs(row.name, input.name)
  const concerned = [row.provider_id, now].filter(id => id !== null)
  if (told && concerned.length > 0) await outpostsChanged(tx, core, { providers: concerned })
  if (now !== row.provider_id) return endAccess(context, row.provider_id)
  if (!differs(row.policy_engine_mode, input.policy_engine_mode)) return {}
  return accessChanged(tx, core.bus, { applications: [row.id] })
}

function differs(before: string, after: string | undefined): boolean {
  return after !== undefined && after !== before
}

async function remove(context: WriteContext, row: ApplicationRow): Promise<WriteResult> {
  const { core, tx } = context
  await deleteApplication(tx, row.id)
  if (row.provider_id === null) return {}
  await outpostsChanged(tx, core, { providers: [row.provider_id] })
  return endAccess(context, row.provider_id)
}

/** Who may open the next application of a provider is for its bindings to say: sessions of this one do not carry over. */
async function endAccess({ core, tx }: WriteContext, providerId: number | null): Promise<WriteResult> {
  const clientId = providerId === null ? undefined : await proxyClientId(tx, providerId)
  if (clientId === undefined) return {}
  return { revocationId: (await endProviderAccess(tx, core.bus, clientId)).id }
}

/** @throws ApiError 400 for a provider the caller may not view */
async function checkProvider({ tx, principal }: WriteContext, id: number | null | undefined): Promise<void> {
  if (id === null || id === undefined) return
  if (await providerIsVisible(tx, principal, id)) return
  throw invalid({ provider: `Invalid pk "${id}" - object does not exist.` })
}

/** @throws ApiError 400 */
function check(input: Partial<ApplicationInput>): void {
  const problems: Record<string, string> = {}
  if (input.slug !== undefined && reservedSlugs.includes(input.slug.toLowerCase()))
    problems.slug = `"${input.slug}" is the name of an endpoint: choose another slug.`
  if (input.meta_launch_url !== undefined && !isLaunchUrl(input.meta_launch_url))
    problems.meta_launch_url =
      'Enter a path or an absolute URL that a browser can go to, or blank://blank to hide the application.'
  if (!isImageAddress(input.meta_icon ?? '', { symbols: true }))
    problems.meta_icon =
      'Enter the name of a media file, a path, an address that begins with http:// or https://, or fa:// and a name.'
  const backchannel = input.backchannel_providers?.[0]
  if (backchannel !== undefined)
    problems.backchannel_providers = `Invalid pk "${backchannel}" - object does not exist.`
  if (Object.keys(problems).length > 0) throw invalid(problems)
}

/** Judged with the placeholders filled in, as it will be followed. */
function isLaunchUrl(text: string): boolean {
  if (text === '' || text === 'blank://blank') return true
  return (
    launchUrl({ meta_launch_url: text, external_host: null, first_redirect_uri: null }, somebody) !== null
  )
}

const somebody: PrincipalUser = {
  id: 1,
  uuid: '00000000-0000-4000-8000-000000000001',
  uid: 'a'.repeat(64),
  username: 'somebody',
  name: 'somebody',
  email: 'somebody@example.com',
  email_verified: false,
  type: 'internal',
  path: 'users',
  attributes: {},
}

function columnsOf(input: Partial<ApplicationInput>): Record<string, unknown> {
  return {
    name: input.name,
    slug: input.slug,
    provider_id: input.provider,
    open_in_new_tab: input.open_in_new_tab,
    meta_launch_url: input.meta_launch_url,
    meta_icon: input.meta_icon,
    meta_description: input.meta_description,
    meta_publisher: input.meta_publisher,
    policy_engine_mode: input.policy_engine_mode,
    group: input.group,
    meta_hide: input.meta_hide,
  }
}
