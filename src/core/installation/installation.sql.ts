import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export interface InstallationRow {
  id: string
  secret_key_fingerprint: Buffer
  setup_completed: boolean
  defaults_version: number
}

/** Makes the row at the first start; a later start reads it. `created` tells which. */
export async function ensureInstallation(
  db: Queryable,
  id: string,
  fingerprint: Buffer,
): Promise<InstallationRow & { created: boolean }> {
  const row = await db.first<InstallationRow & { created: boolean }>(sql`
    with made as (
      insert into ${db.t('installation')} (id, secret_key_fingerprint) values (${id}, ${fingerprint})
      on conflict do nothing returning *
    )
    select id, secret_key_fingerprint, setup_completed, defaults_version, true as created from made
    union all
    select id, secret_key_fingerprint, setup_completed, defaults_version, false from ${db.t('installation')}
    limit 1`)
  // Another process inserted it after this statement's snapshot was taken: the next one sees it.
  return row ?? ensureInstallation(db, id, fingerprint)
}

export async function setDefaultsVersion(db: Queryable, version: number): Promise<void> {
  await db.count(sql`update ${db.t('installation')} set defaults_version = ${version}`)
}

export async function completeSetup(db: Queryable): Promise<number> {
  return db.count(sql`update ${db.t('installation')} set setup_completed = true where not setup_completed`)
}

export async function insertGroup(db: Queryable, name: string, isSuperuser: boolean): Promise<string> {
  const row = await db.first<{ id: string }>(sql`
    with made as (
      insert into ${db.t('groups')} (name, is_superuser) values (${name}, ${isSuperuser}) returning id
    ), own as (
      insert into ${db.t('group_closure')} (group_id, ancestor_id) select id, id from made
    )
    select id from made`)
  return row!.id
}

export async function addMember(db: Queryable, userId: number, groupId: string): Promise<void> {
  await db.count(sql`
    insert into ${db.t('memberships')} (user_id, group_id) values (${userId}, ${groupId}) on conflict do nothing`)
}

export interface DefaultFlow {
  slug: string
  name: string
  title: string
  designation: string
  authentication: string
}

export async function insertFlow(db: Queryable, flow: DefaultFlow): Promise<string> {
  const row = await db.first<{ id: string }>(sql`
    insert into ${db.t('flows')} (slug, name, title, designation, authentication)
    values (${flow.slug}, ${flow.name}, ${flow.title}, ${flow.designation}, ${flow.authentication}) returning id`)
  return row!.id
}

export async function insertStage(
  db: Queryable,
  type: string,
  name: string,
  config: object,
): Promise<string> {
  const row = await db.first<{ id: string }>(sql`
    insert into ${db.t('stages')} (type, name, config) values (${type}, ${name}, ${JSON.stringify(config)}) returning id`)
  return row!.id
}

export async function bindStage(
  db: Queryable,
  flowId: string,
  stageId: string,
  order: number,
): Promise<void> {
  await db.count(sql`
    insert into ${db.t('flow_stage_bindings')} (flow_id, stage_id, "order") values (${flowId}, ${stageId}, ${order})`)
}

export async function insertScopeMapping(
  db: Queryable,
  mapping: { managed: string; name: string; scopeName: string; description: string; expression: string },
): Promise<void> {
  await db.count(sql`
    insert into ${db.t('property_mappings')} (managed, name, scope_name, description, expression)
    values (${mapping.managed}, ${mapping.name}, ${mapping.scopeName}, ${mapping.description}, ${mapping.expression})
    on conflict (managed) do nothing`)
}

export interface DefaultCertificate {
  name: string
  managed: string
  certificatePem: string
  privateKeySealed: Buffer
  fingerprintSha256: string
  fingerprintSha1: string
  subject: string
  keyType: string
  notAfter: Date
}

export async function insertCertificate(db: Queryable, c: DefaultCertificate): Promise<string> {
  const row = await db.first<{ id: string }>(sql`
    insert into ${db.t('certificate_keypairs')}
      (name, managed, certificate_pem, private_key_sealed, fingerprint_sha256, fingerprint_sha1, subject, key_type, not_after)
    values (${c.name}, ${c.managed}, ${c.certificatePem}, ${c.privateKeySealed}, ${c.fingerprintSha256}, ${c.fingerprintSha1},
      ${c.subject}, ${c.keyType}, ${c.notAfter})
    returning id`)
  return row!.id
}

export async function insertDefaultBrand(
  db: Queryable,
  brand: { authenticationFlow: string; invalidationFlow: string; certificate: string },
): Promise<void> {
  await db.count(sql`
    insert into ${db.t('brands')} (domain, is_default, flow_authentication_id, flow_invalidation_id, web_certificate_id)
    values ('authentik-default', true, ${brand.authenticationFlow}, ${brand.invalidationFlow}, ${brand.certificate})`)
}

/** Sets the administrator's password and address at the first start, only while nobody has a password. */
export async function setInitialPassword(
  db: Queryable,
  username: string,
  password: { hash: string; email?: string },
): Promise<number | undefined> {
  const row = await db.first<{ id: number }>(sql`
    update ${db.t('users')} set password = ${password.hash}, password_changed_at = now(),
      email = coalesce(${password.email ?? null}, email), updated_at = now()
    where lower(username) = lower(${username}) and password is null returning id`)
  return row?.id
}

export async function findUserId(db: Queryable, username: string): Promise<number | undefined> {
  return (
    await db.first<{ id: number }>(sql`
      select id from ${db.t('users')} where lower(username) = lower(${username})`)
  )?.id
}

export async function insertBootstrapToken(
  db: Queryable,
  token: { userId: number; keyHash: Buffer; keySealed: Buffer },
): Promise<void> {
  await db.count(sql`
    insert into ${db.t('tokens')} (identifier, intent, user_id, description, key_hash, key_sealed)
    values ('authentik-bootstrap-token', 'api', ${token.userId}, 'Made at the first start from AUTHENTIK_BOOTSTRAP_TOKEN',
      ${token.keyHash}, ${token.keySealed})
    on conflict do nothing`)
}
