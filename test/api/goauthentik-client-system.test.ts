import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AlgEnum } from '@goauthentik/api'
import { sql } from '../../src/pg/db.ts'
import { clientOf, statusOf } from './goauthentik-client.ts'
import { startCore } from './start-core.ts'

test('brands and certificates', async t => {
  const core = await startCore(t)
  const client = clientOf(core)
  const pair = await client.crypto.cryptoCertificatekeypairsGenerateCreate({
    certificateGenerationRequest: {
      commonName: 'shop.example',
      subjectAltName: 'www.shop.example,10.0.0.1',
      validityDays: 30,
      alg: AlgEnum.Ecdsa,
    },
  })
  assert.equal(pair.keyType, 'ec')
  assert.equal(pair.privateKeyAvailable, true)
  const certificate = await client.crypto.cryptoCertificatekeypairsViewCertificateRetrieve({
    kpUuid: pair.pk,
  })
  const key = await client.crypto.cryptoCertificatekeypairsViewPrivateKeyRetrieve({ kpUuid: pair.pk })
  const copy = await client.crypto.cryptoCertificatekeypairsCreate({
    certificateKeyPairRequest: { name: 'copy', certificateData: certificate.data, keyData: key.data },
  })
  assert.equal(copy.fingerprintSha256, pair.fingerprintSha256)
  assert.equal(
    (await client.crypto.cryptoCertificatekeypairsList({ hasKey: true, keyType: ['ec'] as never })).pagination
      .count,
    2,
  )
  await client.crypto.cryptoCertificatekeypairsPartialUpdate({
    kpUuid: copy.pk,
    patchedCertificateKeyPairRequest: { name: 'renamed', keyData: '' },
  })
  const without = await client.crypto.cryptoCertificatekeypairsRetrieve({ kpUuid: copy.pk })
  assert.deepEqual([without.name, without.privateKeyAvailable], ['renamed', false])
  await client.crypto.cryptoCertificatekeypairsDestroy({ kpUuid: copy.pk })

  const brand = await client.core.coreBrandsCreate({
    brandRequest: { domain: 'Example.org', _default: true, brandingTitle: 'Shop', webCertificate: pair.pk },
  })
  assert.equal(brand.domain, 'example.org')
  const used = await client.crypto.cryptoCertificatekeypairsUsedByList({ kpUuid: pair.pk })
  assert.deepEqual(
    used.map(user => [user.modelName, user.name, user.action]),
    [['brand', 'example.org', 'set_null']],
  )
  const current = await client.core.coreBrandsCurrentRetrieve()
  assert.equal(current.brandingTitle, 'Shop')
  const other = await client.core.coreBrandsCreate({ brandRequest: { domain: '127.0.0.1' } })
  assert.equal((await client.core.coreBrandsCurrentRetrieve()).matchedDomain, '127.0.0.1')
  await client.core.coreBrandsUpdate({
    brandUuid: other.brandUuid,
    brandRequest: { domain: 'other.example', _default: true },
  })
  assert.equal((await client.core.coreBrandsRetrieve({ brandUuid: brand.brandUuid }))._default, false)
  assert.equal((await client.core.coreBrandsList({ _default: true })).pagination.count, 1)
  await client.core.coreBrandsUsedByList({ brandUuid: brand.brandUuid })
  await client.core.coreBrandsDestroy({ brandUuid: brand.brandUuid })
})

test('sessions, events and the system', async t => {
  const core = await startCore(t)
  const client = clientOf(core)
  const bob = await core.person('bob')
  const one = await core.browser(bob.id)
  await core.browser(bob.id)
  const listed = await client.core.coreAuthenticatedSessionsList({ userUsername: 'bob' })
  assert.equal(listed.pagination.count, 2)
  assert.equal(listed.results[0]?.userAgent.userAgent.family, 'Chrome')
  assert.equal(listed.results[0]?.userAgent.userAgent.major, '141')
  assert.equal(listed.results[0]?.userAgent.os.family, 'Linux')
  await client.core.coreAuthenticatedSessionsRetrieve({ uuid: one.id })
  await client.core.coreAuthenticatedSessionsDestroy({ uuid: one.id })
  const bulk = await client.core.coreAuthenticatedSessionsBulkDeleteDestroy({ userPks: [bob.id] })
  assert.equal(bulk.deleted, 1)
  const logouts = await client.events.eventsEventsList({ action: 'logout' })
  assert.equal(logouts.pagination.count, 2)
  const event = await client.events.eventsEventsRetrieve({ eventUuid: logouts.results[0]!.pk })
  assert.equal(event.user?.username, 'akadmin')
  const reported = await client.events.eventsEventsCreate({
    eventRequest: { action: 'custom_backup' as never, app: 'backup', context: { files: 3 } },
  })
  assert.deepEqual(reported.context, { files: 3 })
  assert.ok((await client.events.eventsEventsActionsList()).some(action => action.component === 'login'))
  assert.equal(await statusOf(client.events.eventsEventsDestroy({ eventUuid: event.pk })), 405)
  assert.equal((await client.root.rootConfigRetrieve()).errorReporting.enabled, false)
  assert.equal((await client.admin.adminVersionRetrieve()).versionCurrent, '0.1.0-test')
  const system = await client.admin.adminSystemRetrieve()
  assert.ok(!JSON.stringify(system).includes(core.admin.key))
  assert.ok(client.seen.length >= 10)
})

test('consents: their user sees them and takes them back', async t => {
  const core = await startCore(t)
  const bob = await core.person('bob')
  const { db } = core.database
  await db.count(sql`
    with app as (insert into ${db.t('applications')} (slug, name) values ('shop', 'Shop') returning id)
    insert into ${db.t('user_consents')} (user_id, application_id, permissions)
    select ${bob.id}, id, '{openid,email}' from app`)
  const client = clientOf(core, bob.key)
  const [consent] = (await client.core.coreUserConsentList({ user: bob.id })).results
  assert.equal(consent?.application.slug, 'shop')
  assert.equal(consent?.permissions, 'openid email')
  assert.equal(
    await statusOf(
      clientOf(core, (await core.person('eve')).key).core.coreUserConsentRetrieve({ id: consent!.pk }),
    ),
    404,
  )
  await client.core.coreUserConsentDestroy({ id: consent!.pk })
  assert.equal((await client.core.coreUserConsentList({})).pagination.count, 0)
})
