// `/core/user_consent/`: what a user has allowed applications to know; to read and to take back.
import Type from 'typebox'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { imageAddress } from '../media/address.ts'
import type { WriteContext } from './audit.ts'
import type { ConsentQuery, ConsentRow } from './consents.sql.ts'
import { consentConditions, consentOrdering, consentReach, consentTable } from './consents.sql.ts'
import { removeRow } from './resource.sql.ts'
import { registerResource } from './resource.ts'
import type { Resource, WriteResult } from './resource-definition.ts'
import { IntegerKey, isoOrNull, listQuery, nullable, Time, Uuid } from './shapes.ts'
import { ownerBody, UserBody } from './user-shape.ts'

/** The application as far as its user may see it: nothing of its provider. */
const ConsentApplication = Type.Object({
  pk: Uuid,
  pbm_uuid: Uuid,
  name: Type.String(),
  slug: Type.String(),
  provider: nullable(Type.Integer()),
  provider_obj: Type.Null(),
  backchannel_providers: Type.Array(Type.Integer()),
  backchannel_providers_obj: Type.Array(Type.Integer()),
  launch_url: nullable(Type.String()),
  open_in_new_tab: Type.Boolean(),
  meta_launch_url: Type.String(),
  meta_icon: Type.String(),
  meta_icon_url: nullable(Type.String()),
  meta_icon_themed_urls: nullable(Type.Object({ light: Type.String(), dark: Type.String() })),
  meta_description: Type.String(),
  meta_publisher: Type.String(),
  policy_engine_mode: Type.String(),
  group: Type.String(),
  meta_hide: Type.Boolean(),
})
const ConsentBody = Type.Object({
  pk: Type.Integer(),
  expires: nullable(Time),
  expiring: Type.Boolean(),
  user: UserBody,
  application: ConsentApplication,
  permissions: Type.String(),
})

export const consentResource: Resource<ConsentRow, Record<string, never>, ConsentQuery> = {
  path: '/core/user_consent/',
  parameter: ['id', IntegerKey],
  operation: 'core_user_consent',
  app: 'authentik_core',
  model: 'userconsent',
  body: ConsentBody,
  query: listQuery({ application: Type.Optional(Uuid), user: Type.Optional(IntegerKey) }),
  table: consentTable,
  where: consentConditions,
  ordering: consentOrdering,
  reach: consentReach,
  access: {
    view: { by: 'own consents, and those view_userconsent is held on' },
    delete: { by: 'own consents, and those delete_userconsent is held on' },
  },
  toBody: row => ({
    pk: row.id,
    expires: isoOrNull(row.expires_at),
    expiring: row.expires_at !== null,
    user: ownerBody(row.owner),
    application: applicationBody(row.application),
    permissions: row.permissions.join(' '),
  }),
  label: row => ({ pk: row.id, name: `${row.owner.username} for ${row.application.name}` }),
  remove,
}

export function registerConsentRoutes(app: CoreApp, core: Core): void {
  registerResource(app, core, consentResource)
}

async function remove({ tx }: WriteContext, row: ConsentRow): Promise<WriteResult> {
  await removeRow(tx, 'user_consents', row.id)
  return {}
}

function applicationBody(a: ConsentRow['application']) {
  const icon = imageAddress(a.meta_icon)
  return {
    pk: a.id,
    pbm_uuid: a.id,
    name: a.name,
    slug: a.slug,
    provider: a.provider_id,
    provider_obj: null,
    backchannel_providers: [],
    backchannel_providers_obj: [],
    launch_url: a.meta_launch_url === '' ? null : a.meta_launch_url,
    open_in_new_tab: a.open_in_new_tab,
    meta_launch_url: a.meta_launch_url,
    meta_icon: a.meta_icon,
    meta_icon_url: icon.url,
    meta_icon_themed_urls: icon.themed,
    meta_description: a.meta_description,
    meta_publisher: a.meta_publisher,
    policy_engine_mode: a.policy_engine_mode,
    group: a.group,
    meta_hide: a.meta_hide,
  }
}
