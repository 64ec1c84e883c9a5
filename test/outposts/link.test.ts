// The embedded outpost's link runs the suite every link runs; the standalone one is tried against the real Core as well.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { attachProviders, ensureEmbeddedOutpost } from '../../src/core/outposts/account.ts'
import { outpostsChanged } from '../../src/core/outposts/changed.ts'
import type { Hub } from '../../src/core/outposts/hub.ts'
import { createInProcessLink } from '../../src/core/outposts/in-process-link.ts'
import { sessionEndMessage } from '../../src/core/sessions/revoke.ts'
import { silentLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import { createWsLink } from '../../src/proxy/ws-link.ts'
import { type Frame, instruction, parseFrame, type SessionEndArgs } from '../../src/wire/frames.ts'
import { type BrokenProvider, LinkError } from '../../src/wire/link.ts'
import { embeddedOutpostManaged, type OutpostEvent } from '../../src/wire/outpost.ts'
import { selfSigned } from '../link/certificate.ts'
import { linkConformance, recordingOutpost } from '../link/conformance.ts'
import { eventually } from '../pg/eventually.ts'
import { addCertificate, addOutpost, addProxyProvider, startCore, type TestCore } from './start-core.ts'

async function pushSessionEnd(
  { core: { db, bus } }: TestCore,
  args: Omit<SessionEndArgs, 'type'>,
): Promise<void> {
  await db.count(sql`
    insert into ${db.t('revocations')} (id, session_id, user_uid) overriding system value
    values (${args.id}, ${args.session_id}, nullif(${args.user ?? ''}, ''))`)
  bus.publish(sessionEndMessage, { id: args.id ?? 0 })
}

async function events({ core: { db } }: TestCore): Promise<OutpostEvent[]> {
  return db.rows<OutpostEvent>(sql`select action, app, context from ${db.t('events')}`)
}

/** Core with an outpost of two providers, one of them with a certificate. */
async function open(t: TestContext) {
  const core = await startCore(t)
  const pair = await selfSigned()
  const certificate = await addCertificate(core, 'pair', pair)
  const providers = [
    await addProxyProvider(core, 'one', { certificate }),
    await addProxyProvider(core, 'two'),
  ]
  const outpost = await addOutpost(core, 'edge', providers)
  const update = () =>
    core.core.db.transaction(tx => outpostsChanged(tx, core.core, { outposts: [outpost.id] }))
  return { core, outpost, certificate: { uuid: certificate, fingerprint: pair.fingerprint }, update }
}

linkConformance('within Core', async t => {
  const { core, outpost, certificate, update } = await open(t)
  // The suite's outposts say that they have applied revision 0: nothing to tell them but what the suite pushes.
  await core.core.db.count(sql`update ${core.core.db.t('outposts')} set revision = 0`)
  const frames: Frame[] = []
  const hub: Pick<Hub, 'attach'> = {
    attach(given) {
      const attached = core.hub.attach(given)
      return {
        ...attached,
        receive(text) {
          const frame = parseFrame(text)
          if (frame !== null && frame.instruction !== instruction.ack) frames.push(frame)
          attached.receive(text)
        },
      }
    },
  }
  const link = createInProcessLink({ core: core.core, app: core.app, hub, outpostId: outpost.id })
  t.after(() => link.close())
  return {
    link,
    expected: { outpostName: 'edge', providerNames: ['one', 'two'], certificate },
    pushUpdate: async () => {
      await update()
    },
    pushSessionEnd: args => pushSessionEnd(core, args),
    receivedFrames: () => frames,
    receivedEvents: () => events(core),
  }
})

test('the standalone link works against the real Core: REST, back channel, pushes and receipts', async t => {
  const { core, outpost, certificate, update } = await open(t)
  const link = createWsLink({
    ...{ coreUrl: core.origin, token: outpost.key, insecure: false, version: '1.2.3' },
    ...{ instanceId: randomUUID(), log: silentLog },
  })
  t.after(() => link.close())
  const instance = await link.instance()
  assert.deepEqual([instance.pk, instance.name, instance.managed], [outpost.id, 'edge', null])
  assert.equal((await link.rootConfig()).error_reporting.enabled, false)
  const providers = await link.providers()
  assert.deepEqual(
    providers.map(provider => provider.name),
    ['one', 'two'],
  )
  assert.equal(providers[0]?.oidc_configuration.token_endpoint, `${core.origin}/application/o/token/`)
  const bundle = await link.certificate(certificate.uuid)
  assert.match(bundle?.private_key_pem ?? '', /PRIVATE KEY/)
  await link.reportEvent({
    action: 'configuration_error',
    app: 'authentik.providers.proxy',
    context: { message: 'm' },
  })
  assert.ok((await events(core)).some(event => event.action === 'configuration_error'))
  const { client_id, client_secret } = providers[0]!
  const form = { token: 'no such token', client_id, client_secret }
  const answer = await link.backChannel(providers[0]!, { endpoint: 'introspection', form })
  assert.deepEqual(answer, { status: 200, body: { active: false } })

  const process = recordingOutpost(99)
  link.open(instance, process.handlers)
  await eventually(() => process.connects === 1 && [...core.hub.links()].some(one => one.greeted))
  await core.core.db.count(sql`update ${core.core.db.t('outposts')} set revision = 100`)
  await update()
  await eventually(() => process.frames.some(frame => frame.instruction === instruction.triggerUpdate))
  await pushSessionEnd(core, { session_id: 'ab'.repeat(32), id: 5 })
  await eventually(() => process.frames.some(frame => frame.args.id === 5))
  link.send({ instruction: 3, args: { sub_type: 'session_end.applied', id: 5, ms: 1 } })
  await eventually(
    async () =>
      (await core.core.db.rows(sql`select 1 from ${core.core.db.t('revocation_receipts')}`)).length === 1,
  )
})

test('the link within Core has the rights of its account, no more: what is taken from the role is gone', async t => {
  const { core, outpost, certificate } = await open(t)
  const { db } = core.core
  const link = createInProcessLink({ core: core.core, app: core.app, hub: core.hub, outpostId: outpost.id })
  t.after(() => link.close())
  assert.equal((await link.providers()).length, 2)
  await db.count(sql`delete from ${db.t('role_permissions')} where permission like '%proxyprovider'`)
  assert.deepEqual(await link.providers(), [])
  await db.count(sql`delete from ${db.t('role_permissions')} where permission like '%_key'`)
  const kind = (wanted: string) => (error: unknown) => error instanceof LinkError && error.kind === wanted
  await assert.rejects(link.certificate(certificate.uuid), kind('invalid'))
  await db.count(sql`delete from ${db.t('role_permissions')} where permission like '%add_event'`)
  const event = { action: 'configuration_error', app: 'a', context: {} }
  await assert.rejects(link.reportEvent(event), kind('unauthorized'))
  await db.count(sql`delete from ${db.t('role_permissions')}`)
  await assert.rejects(link.instance(), kind('no-outpost'))
  await db.count(sql`update ${db.t('users')} set is_active = false`)
  await assert.rejects(link.instance(), kind('unauthorized'))
  assert.deepEqual(await events(core), [])
})

test('a provider whose secret does not open, or is empty, is left out by name on both links; one line says so, and others stay', async t => {
  const { core, outpost } = await open(t)
  const { db, secrets } = core.core
  const inside = createInProcessLink({ core: core.core, app: core.app, hub: core.hub, outpostId: outpost.id })
  const outside = createWsLink({
    ...{ coreUrl: core.origin, token: outpost.key, insecure: false, version: '1.2.3' },
    ...{ instanceId: randomUUID(), log: silentLog },
  })
  t.after(() => Promise.all([inside.close(), outside.close()]))
  const [first] = await inside.providers()
  const seal = async (column: 'client_secret' | 'cookie_secret', value: Buffer) => {
    const table = column === 'client_secret' ? 'oauth2_providers' : 'proxy_providers'
    await db.count(sql`
      update ${db.t(table)} set ${sql.ref(`${column}_sealed`)} = ${value} where provider_id = ${first!.pk}`)
  }
  const lines = () => core.lines.filter(line => String(line.event).startsWith('outposts cannot be told'))
  for (const [column, value, problem] of [
    ['client_secret', secrets.seal('client_secret', ''), /client_secret is empty/],
    ['client_secret', Buffer.from('sealed under another key'), /./],
    ['cookie_secret', secrets.seal('cookie_secret', ''), /cookie_secret is empty/],
  ] as const) {
    const before = lines().length
    await seal(column, value)
    for (const link of [inside, outside, inside, outside]) {
      const left: BrokenProvider[] = []
      const good = await link.providers(row => left.push(row))
      assert.deepEqual(
        good.map(({ name }) => name),
        ['two'],
      )
      assert.deepEqual(
        left.map(({ pk, name }) => [pk, name]),
        [[first!.pk, 'one']],
      )
      assert.match(left[0]!.problem, problem)
    }
    assert.equal(lines().length - before, 2, 'one line for each of the two lists')
    assert.equal(lines().at(-1)?.provider, 'one')
    await seal(column, secrets.seal(column, 'a good secret again'))
    assert.equal((await inside.providers()).length + (await outside.providers()).length, 4)
  }
})

test('without an id the link is that of the embedded outpost, and an outpost does not report logins', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const link = createInProcessLink({ core: core.core, app: core.app, hub: core.hub })
  t.after(() => link.close())
  await assert.rejects(link.instance(), /embedded outpost was deleted/)
  const id = await db.transaction(tx => ensureEmbeddedOutpost(tx, core.core))
  const provider = await addProxyProvider(core, 'one')
  await db.transaction(tx => attachProviders(tx, core.core, id, [provider]))
  const instance = await link.instance()
  assert.deepEqual([instance.pk, instance.managed], [id, embeddedOutpostManaged])
  const [seen] = await link.providers()
  assert.equal(seen?.oidc_configuration.token_endpoint, 'http://core.test/application/o/token/')
  await assert.rejects(
    link.reportEvent({ action: 'login', app: 'a', context: {} }),
    /no event an outpost reports/,
  )
})

test('the link within Core comes back by itself after the hub sent it away', async t => {
  const { core, outpost } = await open(t)
  const link = createInProcessLink({ core: core.core, app: core.app, hub: core.hub, outpostId: outpost.id })
  t.after(() => link.close())
  const process = recordingOutpost(0)
  link.open(await link.instance(), process.handlers)
  await eventually(() => process.connects === 1)
  for (const { peer } of core.hub.links()) peer.terminate()
  assert.equal(process.disconnects, 1)
  assert.equal(link.send({ instruction: 3, args: {} }), false)
  await eventually(() => process.connects === 2)
  assert.equal(link.send({ instruction: 3, args: {} }), true)
})
