import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  createOutpost,
  deleteOutpost,
  embeddedOutpostName,
  ensureAccounts,
  ensureEmbeddedOutpost,
  outpostToken,
} from '../../src/core/outposts/account.ts'
import { outpostsChanged } from '../../src/core/outposts/changed.ts'
import { ConfigError } from '../../src/core/outposts/config.ts'
import { sha256 } from '../../src/core/secrets.ts'
import { findBearer } from '../../src/core/sessions/sessions.sql.ts'
import { sql } from '../../src/pg/db.ts'
import { embeddedOutpostManaged } from '../../src/wire/outpost.ts'
import { selfSigned } from '../link/certificate.ts'
import {
  addCertificate,
  addOutpost,
  addPerson,
  addProxyProvider,
  startCore,
  type TestCore,
} from './start-core.ts'

async function permissionsOf({ core: { db } }: TestCore, outpost: string) {
  const rows = await db.rows<{ permission: string; object_id: string | null }>(sql`
    select p.permission, p.object_id from ${db.t('outposts')} o join ${db.t('role_users')} u on u.user_id = o.user_id
    join ${db.t('role_permissions')} p on p.role_id = u.role_id where o.id = ${outpost} order by 1, 2`)
  const objects = new Set(rows.flatMap(row => (row.object_id === null ? [] : [row.object_id])))
  return { names: rows.map(row => row.permission), objects: objects.size }
}

const own = ['authentik_events.add_event', 'authentik_outposts.view_outpost']
const provided = [...own, 'authentik_providers_proxy.view_proxyprovider']
const certified = [
  'authentik_crypto.view_certificatekeypair',
  'authentik_crypto.view_certificatekeypair_certificate',
  'authentik_crypto.view_certificatekeypair_key',
  ...provided,
]

test('an outpost may see itself, its providers and their certificates, add events, and nothing else', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const outpost = await addOutpost(core, 'edge')
  assert.deepEqual(await permissionsOf(core, outpost.id), { names: own, objects: 1 })

  const provider = await addProxyProvider(core, 'app')
  const admin = await addPerson(core, 'admin', 'superuser')
  const path = `/outposts/instances/${outpost.id}/`
  const attached = await core.ask(admin.key, 'PATCH', path, { providers: [provider] })
  assert.equal(attached.status, 200, JSON.stringify(attached.body))
  assert.deepEqual(await permissionsOf(core, outpost.id), { names: provided, objects: 2 })

  const pair = await addCertificate(core, 'pair', await selfSigned())
  await db.transaction(async tx => {
    await tx.count(sql`update ${tx.t('proxy_providers')} set certificate_id = ${pair}`)
    await outpostsChanged(tx, core.core, { providers: [provider] })
  })
  assert.deepEqual(await permissionsOf(core, outpost.id), { names: certified, objects: 3 })

  const embedded = await db.transaction(tx => ensureEmbeddedOutpost(tx, core.core))
  await db.count(sql`
    insert into ${db.t('brands')} (domain, is_default, web_certificate_id) values ('x', true, ${pair})`)
  await db.transaction(tx => outpostsChanged(tx, core.core, 'all'))
  const seen = await permissionsOf(core, embedded)
  assert.deepEqual(
    seen.names.toSorted(),
    [...certified.slice(0, 3), ...own, 'authentik_core.view_brand'].toSorted(),
  )
  assert.deepEqual(
    await permissionsOf(core, outpost.id),
    { names: certified, objects: 3 },
    'brands are not its business',
  )

  const other = await addProxyProvider(core, 'other')
  await core.ask(admin.key, 'PATCH', path, { providers: [other] })
  assert.deepEqual(await permissionsOf(core, outpost.id), { names: provided, objects: 2 })
})

test('the account is an internal service account without a password, its token never expires and is managed', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const { id, tokenIdentifier, key } = await addOutpost(core, 'edge')
  assert.equal(tokenIdentifier, `ak-outpost-${id}-api`)
  const user = await db.first(sql`
    select u.username, u.name, u.type, u.path, u.password from ${db.t('users')} u
    join ${db.t('outposts')} o on o.user_id = u.id where o.id = ${id}`)
  assert.deepEqual(user, {
    username: `ak-outpost-${id.replaceAll('-', '')}`,
    name: 'Outpost edge Service-Account',
    type: 'internal_service_account',
    path: 'goauthentik.io/outposts',
    password: null,
  })
  const token = await db.first(sql`
    select identifier, intent, managed, expires_at from ${db.t('tokens')} where key_hash = ${sha256(key)}`)
  assert.deepEqual(token, {
    identifier: tokenIdentifier,
    intent: 'api',
    managed: `goauthentik.io/outpost/${tokenIdentifier}`,
    expires_at: null,
  })
  assert.ok(await findBearer(db, sha256(key)))
})

test('a damaged account, token and role are repaired, and what is right is not written again', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const { id, tokenIdentifier, key } = await addOutpost(core, 'edge')
  await db.count(
    sql`update ${db.t('users')} set password = 'x', type = 'internal', name = 'y', is_active = false`,
  )
  await db.count(
    sql`update ${db.t('tokens')} set intent = 'app_password', expires_at = now() + interval '1 day'`,
  )
  await db.count(sql`delete from ${db.t('roles')}`)
  await db.transaction(tx => ensureAccounts(tx, core.core, [id]))
  assert.deepEqual(await permissionsOf(core, id), { names: own, objects: 1 })
  const renewed = await outpostToken(db, core.core, id)
  assert.notEqual(renewed, key)
  assert.equal(
    await findBearer(db, sha256(renewed)),
    undefined,
    'an account somebody deactivated stays inactive',
  )
  await db.count(sql`update ${db.t('users')} set is_active = true`)
  assert.ok(await findBearer(db, sha256(renewed)))
  assert.equal(await findBearer(db, sha256(key)), undefined)
  const user = await db.first<{ password: null; type: string }>(
    sql`select password, type from ${db.t('users')}`,
  )
  assert.deepEqual(user, { password: null, type: 'internal_service_account' })

  const state = () =>
    db.rows(sql`
      select xmin::text, 'u' as of from ${db.t('users')} union all select xmin::text, 't' from ${db.t('tokens')}
      union all select xmin::text, 'p' from ${db.t('role_permissions')} union all select xmin::text, 'r' from ${db.t('roles')}`)
  const before = await state()
  await db.transaction(tx => ensureAccounts(tx, core.core))
  assert.deepEqual(await state(), before)
  assert.equal(
    (await db.rows(sql`select 1 from ${db.t('tokens')} where identifier = ${tokenIdentifier}`)).length,
    1,
  )
})

test('deleting an outpost takes its account, token and role with it, and nothing makes them again', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const { id, key } = await addOutpost(core, 'edge')
  await db.transaction(tx => deleteOutpost(tx, core.core, id))
  await db.transaction(tx => deleteOutpost(tx, core.core, id))
  for (const table of ['outposts', 'users', 'tokens', 'roles', 'role_permissions'])
    assert.deepEqual(await db.rows(sql`select 1 from ${db.t(table)}`), [], table)
  assert.equal(await findBearer(db, sha256(key)), undefined)
  await assert.rejects(outpostToken(db, core.core, id), /has no token/)
})

test('the embedded outpost is made once by many, keeps its mark and name, and can be switched off', async t => {
  const core = await startCore(t)
  const { db } = core.core
  await db.count(sql`
    insert into ${db.t('service_connections')} (type, name) values ('docker', 'a'), ('kubernetes', 'b')`)
  const ensure = () => db.transaction(tx => ensureEmbeddedOutpost(tx, core.core))
  const ids = await Promise.all([ensure(), ensure(), ensure()])
  assert.equal(new Set(ids).size, 1)
  const row = () =>
    db.first<{ name: string; managed: string | null; connection: string }>(sql`
      select o.name, o.managed, s.name as connection from ${db.t('outposts')} o
      left join ${db.t('service_connections')} s on s.id = o.service_connection_id`)
  assert.deepEqual(await row(), {
    name: embeddedOutpostName,
    managed: embeddedOutpostManaged,
    connection: 'b',
  })
  await db.count(sql`update ${db.t('outposts')} set managed = null`)
  assert.equal(await ensure(), ids[0])
  assert.equal((await row())?.managed, embeddedOutpostManaged)
  await db.count(sql`update ${db.t('outposts')} set name = 'renamed', type = 'rac'`)
  assert.equal(await ensure(), ids[0])
  assert.equal((await row())?.name, embeddedOutpostName)
  await db.transaction(tx => deleteOutpost(tx, core.core, ids[0]!))
  assert.equal(await row(), undefined)
  assert.notEqual(await ensure(), ids[0], 'deleted, it comes back at the next start as a new one')
  assert.equal((await row())?.managed, embeddedOutpostManaged)
})

test('an outpost with a configuration that is not allowed is not created', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const create = (config: Record<string, unknown>) =>
    db.transaction(tx => createOutpost(tx, core.core, { name: 'x', type: 'proxy', providers: [], config }))
  await assert.rejects(create({ session_backend: 'postgre' }), ConfigError)
  assert.deepEqual(await db.rows(sql`select 1 from ${db.t('users')}`), [])
})
