// `/core/brands/`: what the pages of a host look like and which flows they run. Exactly one brand is the default; a brand's certificate
// is served by the embedded outpost, so every change is told to it.
import type { Static } from 'typebox'
import Type from 'typebox'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { ApiError, invalid } from '../errors.ts'
import { isImageAddress } from '../media/address.ts'
import { outpostsChanged } from '../outposts/changed.ts'
import type { WriteContext } from './audit.ts'
import type { BrandQuery, BrandRow } from './brands.sql.ts'
import { brandConditions, brandOrdering, brandTable, clearDefaultBrand } from './brands.sql.ts'
import { requireReferences } from './references.sql.ts'
import { insertColumns, removeRow, updateColumns } from './resource.sql.ts'
import { registerResource } from './resource.ts'
import type { Resource, WriteResult } from './resource-definition.ts'
import { Json, listQuery, nullable, Uuid } from './shapes.ts'

const optionalUuid = nullable(Uuid)
const flowFields = [
  'flow_authentication',
  'flow_invalidation',
  'flow_recovery',
  'flow_unenrollment',
  'flow_user_settings',
  'flow_device_code',
] as const
const references = {
  flow_authentication: optionalUuid,
  flow_invalidation: optionalUuid,
  flow_recovery: optionalUuid,
  flow_unenrollment: optionalUuid,
  flow_user_settings: optionalUuid,
  flow_device_code: optionalUuid,
  default_application: optionalUuid,
  web_certificate: optionalUuid,
}
const BrandBody = Type.Object({
  brand_uuid: Uuid,
  domain: Type.String(),
  default: Type.Boolean(),
  branding_title: Type.String(),
  branding_logo: Type.String(),
  branding_favicon: Type.String(),
  branding_custom_css: Type.String(),
  branding_default_flow_background: Type.String(),
  branding_map_tiles: Type.String(),
  ...references,
  client_certificates: Type.Array(Uuid),
  attributes: Json,
})
const text = Type.Optional(Type.String({ maxLength: 2000 }))
const BrandInput = Type.Object({
  domain: Type.String({ minLength: 1, maxLength: 253 }),
  default: Type.Optional(Type.Boolean()),
  branding_title: text,
  branding_logo: text,
  branding_favicon: text,
  branding_custom_css: Type.Optional(Type.String({ maxLength: 200_000 })),
  branding_default_flow_background: text,
  ...Type.Partial(Type.Object(references)).properties,
  client_certificates: Type.Optional(Type.Array(Uuid)),
  attributes: Type.Optional(Json),
})
type BrandInput = Static<typeof BrandInput>

const exactly = Type.Optional(Type.String())
const exactlyUuid = Type.Optional(Uuid)

export const brandResource: Resource<BrandRow, BrandInput, BrandQuery> = {
  path: '/core/brands/',
  parameter: ['brand_uuid', Uuid],
  operation: 'core_brands',
  app: 'authentik_core',
  model: 'brand',
  body: BrandBody,
  write: BrandInput,
  query: listQuery({
    brand_uuid: exactlyUuid,
    branding_default_flow_background: exactly,
    branding_favicon: exactly,
    branding_logo: exactly,
    branding_title: exactly,
    client_certificates: Type.Optional(Type.Array(Uuid)),
    default: Type.Optional(Type.Boolean()),
    domain: exactly,
    flow_authentication: exactlyUuid,
    flow_device_code: exactlyUuid,
    flow_invalidation: exactlyUuid,
    flow_recovery: exactlyUuid,
    flow_unenrollment: exactlyUuid,
    flow_user_settings: exactlyUuid,
    web_certificate: exactlyUuid,
  }),
  table: brandTable,
  where: brandConditions,
  ordering: brandOrdering,
  toBody: row => ({
    brand_uuid: row.id,
    domain: row.domain,
    default: row.is_default,
    branding_title: row.branding_title,
    branding_logo: row.branding_logo,
    branding_favicon: row.branding_favicon,
    branding_custom_css: row.branding_custom_css,
    branding_default_flow_background: row.branding_default_flow_background,
    branding_map_tiles: '',
    flow_authentication: row.flow_authentication_id,
    flow_invalidation: row.flow_invalidation_id,
    flow_recovery: row.flow_recovery_id,
    flow_unenrollment: row.flow_unenrollment_id,
    flow_user_settings: row.flow_user_settings_id,
    flow_device_code: row.flow_device_code_id,
    default_application: row.default_application_id,
    web_certificate: row.web_certificate_id,
    client_certificates: row.client_certificates,
    attributes: row.attributes,
  }),
  label: row => ({ pk: row.id, name: row.domain }),
  insert,
  update,
  remove,
  unique: { brands_domain_key: 'domain' },
}

export function registerBrandResource(app: CoreApp, core: Core): void {
  registerResource(app, core, brandResource)
}

async function insert(context: WriteContext, input: BrandInput): Promise<string> {
  const { core, tx } = context
  await check(context, input, undefined)
  if (input.default === true) await clearDefaultBrand(tx)
  const id = await insertColumns<string>(tx, 'brands', columnsOf(input))
  await outpostsChanged(tx, core, 'all')
  return id
}

async function update(
  context: WriteContext,
  row: BrandRow,
  input: Partial<BrandInput>,
): Promise<WriteResult> {
  const { core, tx } = context
  await check(context, input, row)
  if (row.is_default && input.default === false)
    throw invalid({ default: 'Exactly one brand is the default: make another one the default instead.' })
  if (!row.is_default && input.default === true) await clearDefaultBrand(tx)
  await updateColumns(tx, 'brands', row.id, columnsOf(input))
  await outpostsChanged(tx, core, 'all')
  return {}
}

async function remove({ core, tx }: WriteContext, row: BrandRow): Promise<WriteResult> {
  if (row.is_default)
    throw invalid({
      non_field_errors: 'The default brand cannot be deleted: make another one the default first.',
    })
  await removeRow(tx, 'brands', row.id)
  await outpostsChanged(tx, core, 'all')
  return {}
}

function columnsOf(input: Partial<BrandInput>): Record<string, unknown> {
  return {
    domain: input.domain?.toLowerCase(),
    is_default: input.default,
    branding_title: input.branding_title,
    branding_logo: input.branding_logo,
    branding_favicon: input.branding_favicon,
    branding_custom_css: input.branding_custom_css,
    branding_default_flow_background: input.branding_default_flow_background,
    flow_authentication_id: input.flow_authentication,
    flow_invalidation_id: input.flow_invalidation,
    flow_recovery_id: input.flow_recovery,
    flow_unenrollment_id: input.flow_unenrollment,
    flow_user_settings_id: input.flow_user_settings,
    flow_device_code_id: input.flow_device_code,
    default_application_id: input.default_application,
    web_certificate_id: input.web_certificate,
    client_certificates: input.client_certificates,
    attributes: input.attributes,
  }
}

/** @throws ApiError 400 on a field, 403 for style sheets of anybody but a superuser: they reach every page of the host */
async function check(
  context: WriteContext,
  input: Partial<BrandInput>,
  row: BrandRow | undefined,
): Promise<void> {
  const { tx, principal } = context
  const css = input.branding_custom_css
  if (css !== undefined && css !== (row?.branding_custom_css ?? '') && !principal.isSuperuser)
    throw new ApiError(403, 'Only a superuser may change the style sheet of a brand.', {
      code: 'permission_denied',
    })
  if (css !== undefined && /<\/style/i.test(css))
    throw invalid({ branding_custom_css: 'A style sheet must not hold "</style".' })
  if (input.domain !== undefined && !/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(input.domain))
    throw invalid({ domain: 'Enter a host name without scheme, port and path.' })
  for (const field of ['branding_logo', 'branding_favicon', 'branding_default_flow_background'] as const)
    if (!isImageAddress(input[field] ?? ''))
      throw invalid({
        [field]:
          'Enter the name of a media file, a path, or an address that begins with http:// or https://.',
      })
  const flows = { table: 'flows', permission: 'authentik_flows.view_flow', type: 'uuid' } as const
  for (const field of flowFields) await requireReferences(tx, principal, field, flows, [input[field]])
  const certificates = {
    table: 'certificate_keypairs',
    permission: 'authentik_crypto.view_certificatekeypair',
    type: 'uuid',
  } as const
  await requireReferences(tx, principal, 'web_certificate', certificates, [input.web_certificate])
  await requireReferences(tx, principal, 'client_certificates', certificates, input.client_certificates ?? [])
  await requireReferences(
    tx,
    principal,
    'default_application',
    { table: 'applications', permission: 'authentik_core.view_application', type: 'uuid' },
    [input.default_application],
  )
}
