import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OutpostTypeEnum, ResponseError } from '@goauthentik/api'
import { embeddedOutpostName, ensureEmbeddedOutpost } from '../../src/core/outposts/account.ts'
import { sql } from '../../src/pg/db.ts'
import { embeddedOutpostManaged } from '../../src/wire/outpost.ts'
import { addOutpost, addPerson, addProxyProvider, officialClient, startCore } from './start-core.ts'

const type = OutpostTypeEnum.Proxy

async function refusal(work: Promise<unknown>): Promise<{ status: number; body: Record<string, unknown> }> {
  const error = await work.then(
    () => assert.fail('it was not refused'),
    failure => failure,
  )
  assert.ok(error instanceof ResponseError, String(error))
  return { status: error.response.status, body: (await error.response.json()) as Record<string, unknown> }
}

test('the official client creates, lists, updates and deletes outposts', async t => {
  const core = await startCore(t)
  const admin = await addPerson(core, 'admin', 'superuser')
  const api = officialClient(core, admin.key)
  const one = await addProxyProvider(core, 'one')
  const two = await addProxyProvider(core, 'two', { application: false })
  const config = { authentik_host: 'https://auth.example.com/', log_level: 'debug', unknown: 1 }
  const made = await api.outpostsInstancesCreate({
    outpostRequest: { name: 'edge', type, providers: [two, one], config },
  })
  assert.deepEqual(made.providers, [one, two])
  assert.equal(made.tokenIdentifier, `ak-outpost-${made.pk}-api`)
  assert.equal(made.refreshIntervalS, 300)
  assert.equal(made.managed ?? null, null)
  assert.equal(made.serviceConnectionObj ?? null, null)
  assert.deepEqual(
    [made.config.log_level, made.config.unknown, made.config.session_backend],
    ['debug', 1, ''],
  )
  const [provider, unused] = made.providersObj
  assert.equal(provider?.name, 'one')
  assert.equal(provider?.component, 'ak-provider-proxy-form')
  assert.equal(provider?.assignedApplicationSlug, 'one')
  assert.equal(provider?.propertyMappings?.length, 2)
  assert.equal(unused?.assignedApplicationSlug ?? null, null)

  const second = await api.outpostsInstancesCreate({
    outpostRequest: { name: 'a second', type, providers: [two], config: {} },
  })
  const list = await api.outpostsInstancesList({})
  assert.deepEqual(
    list.results.map(row => row.name),
    ['a second', 'edge'],
  )
  assert.equal(list.pagination.count, 2)
  const names = async (query: Parameters<typeof api.outpostsInstancesList>[0]) =>
    (await api.outpostsInstancesList(query)).results.map(row => row.name)
  assert.deepEqual(await names({ providersByPk: [one] }), ['edge'])
  assert.deepEqual(await names({ providersByPk: [one, two] }), ['a second', 'edge'])
  assert.deepEqual(await names({ nameIexact: 'EDGE' }), ['edge'])
  assert.deepEqual(await names({ nameIcontains: 'SEC' }), ['a second'])
  assert.deepEqual(await names({ search: 'one' }), ['edge'])
  assert.deepEqual(await names({ providersIsnull: true }), [])
  assert.deepEqual(await names({ ordering: '-name' }), ['edge', 'a second'])
  assert.equal((await refusal(api.outpostsInstancesList({ page: 9 }))).status, 404)

  const changed = await api.outpostsInstancesPartialUpdate({
    uuid: made.pk,
    patchedOutpostRequest: { name: 'renamed', config: { refresh_interval: 'seconds=5' } },
  })
  assert.deepEqual([changed.name, changed.refreshIntervalS], ['renamed', 10])
  assert.equal(changed.config.log_level, 'info', 'the object given is the whole object')
  const { db } = core.core
  assert.ok(
    await db.first(sql`select 1 from ${db.t('users')} where name = 'Outpost renamed Service-Account'`),
    'the account follows the name',
  )
  await api.outpostsInstancesUpdate({
    uuid: made.pk,
    outpostRequest: { name: 'edge', type, providers: [one], config },
  })
  assert.deepEqual((await api.outpostsInstancesRetrieve({ uuid: made.pk })).providers, [one])
  assert.deepEqual(await api.outpostsInstancesUsedByList({ uuid: made.pk }), [])
  await api.outpostsInstancesDestroy({ uuid: second.pk })
  assert.equal((await refusal(api.outpostsInstancesRetrieve({ uuid: second.pk }))).status, 404)
  const settings = await api.outpostsInstancesDefaultSettingsRetrieve()
  assert.equal(settings.config.authentik_host, `${core.origin}/`)
  assert.equal(settings.config.kubernetes_replicas, 1)
})

test('input that is not allowed is refused, naming the field', async t => {
  const core = await startCore(t)
  const admin = await addPerson(core, 'admin', 'superuser')
  const one = await addProxyProvider(core, 'one')
  const path = '/outposts/instances/'
  const good = { name: 'edge', type: 'proxy', providers: [one], config: {} }
  const created = await core.ask(admin.key, 'POST', path, good)
  assert.equal(created.status, 201)
  const { pk } = created.body as { pk: string }
  const nobody = '00000000-0000-4000-8000-000000000000'
  const cases: [string, object, string][] = [
    ['POST', { ...good, name: '' }, 'name'],
    ['POST', good, 'name'],
    ['POST', { ...good, name: 'b', type: 'mail' }, 'type'],
    ['POST', { ...good, name: 'b', providers: [] }, 'providers'],
    ['POST', { ...good, name: 'b', providers: [999_999] }, 'providers'],
    ['POST', { ...good, name: 'b', type: 'ldap' }, 'providers'],
    ['POST', { ...good, name: 'b', config: 'text' }, 'config'],
    ['POST', { ...good, name: 'b', config: { session_backend: 'postgre' } }, 'config'],
    ['POST', { ...good, name: 'b', service_connection: nobody }, 'service_connection'],
    ['POST', { ...good, name: 'b', managed: embeddedOutpostManaged }, 'managed'],
    ['POST', { ...good, name: 'b', managed: '' }, 'managed'],
    ['POST', { name: 'b', type: 'proxy', providers: [one] }, 'config'],
    ['PATCH', { type: 'ldap' }, 'providers'],
    ['PATCH', { providers: [] }, 'providers'],
    ['PATCH', { managed: embeddedOutpostManaged }, 'managed'],
    ['PATCH', { config: { refresh_interval: 'soon' } }, 'config'],
  ]
  for (const [method, body, field] of cases) {
    const { status, body: answer } = await core.ask(
      admin.key,
      method,
      method === 'POST' ? path : `${path}${pk}/`,
      body,
    )
    assert.equal(status, 400, `${method} ${JSON.stringify(body)}`)
    assert.ok(Object.hasOwn(answer as object, field), `${JSON.stringify(body)}: ${JSON.stringify(answer)}`)
  }
  const refused = await core.ask(admin.key, 'PATCH', `${path}${pk}/`, { config: { log_level: 5 } })
  const [message] = (refused.body as { config: string[] }).config
  assert.match(message ?? '', /^Failed to validate config: log_level /)
  const ldap = await core.ask(admin.key, 'POST', path, { ...good, name: 'b', type: 'ldap' })
  assert.match(JSON.stringify(ldap.body), /ldap.*one.*proxy/)
  const { db } = core.core
  assert.equal((await db.rows(sql`select 1 from ${db.t('outposts')}`)).length, 1)
  assert.equal(
    (await db.rows(sql`select 1 from ${db.t('users')}`)).length,
    2,
    'no account without its outpost',
  )
})

test('the embedded outpost keeps its name, may have no provider, and gets a lost mark back', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const admin = await addPerson(core, 'admin', 'superuser')
  const id = await db.transaction(tx => ensureEmbeddedOutpost(tx, core.core))
  const patch = (body: object) => core.ask(admin.key, 'PATCH', `/outposts/instances/${id}/`, body)
  const renamed = await patch({ name: 'mine' })
  assert.equal(renamed.status, 400)
  assert.deepEqual((renamed.body as { name: string[] }).name, ["Embedded outpost's name cannot be changed"])
  assert.equal((await patch({ type: 'rac' })).status, 400)
  await db.count(sql`update ${db.t('outposts')} set managed = null`)
  const own = await addProxyProvider(core, 'own')
  await db.count(sql`update ${db.t('proxy_providers')} set external_host = 'http://core.test/'`)
  assert.match(
    JSON.stringify((await patch({ providers: [own] })).body),
    /mode proxy on the host of Postern itself/,
  )
  await db.count(sql`update ${db.t('proxy_providers')} set mode = 'forward_single'`)
  assert.equal((await patch({ providers: [own] })).status, 200)
  const repaired = await patch({ name: embeddedOutpostName, providers: [] })
  assert.equal(repaired.status, 200)
  assert.equal((repaired.body as { managed: string }).managed, embeddedOutpostManaged)
})

test('a service account sees its own outpost and no other, and changes nothing', async t => {
  const core = await startCore(t)
  const one = await addProxyProvider(core, 'one')
  const mine = await addOutpost(core, 'mine', [one])
  const other = await addOutpost(core, 'other', [one])
  const api = officialClient(core, mine.key)
  const list = await api.outpostsInstancesList({})
  assert.deepEqual(
    list.results.map(row => row.pk),
    [mine.id],
  )
  assert.equal((await core.ask(mine.key, 'GET', `/outposts/instances/${other.id}/`)).status, 404)
  assert.equal((await core.ask(mine.key, 'GET', `/outposts/instances/${other.id}/health/`)).status, 404)
  assert.equal(
    (await core.ask(mine.key, 'PATCH', `/outposts/instances/${mine.id}/`, { name: 'x' })).status,
    403,
  )
  assert.equal((await core.ask(mine.key, 'DELETE', `/outposts/instances/${mine.id}/`)).status, 403)
  assert.equal((await core.ask(mine.key, 'GET', '/core/users/')).status, 200)
  const users = (await core.ask(mine.key, 'GET', '/core/users/')).body as { results: unknown[] }
  assert.deepEqual(users.results, [])
  const stranger = await addPerson(core, 'stranger')
  const seen = (await core.ask(stranger.key, 'GET', '/outposts/instances/')).body as { results: unknown[] }
  assert.deepEqual(seen.results, [])
})

test('an outpost without sessions in the database in a cluster without a database is reported as misconfigured', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const admin = await addPerson(core, 'admin', 'superuser')
  const one = await addProxyProvider(core, 'one')
  const connection = await db.first<{ id: string }>(sql`
    insert into ${db.t('service_connections')} (type, name, local) values ('kubernetes', 'k', true) returning id`)
  const body = {
    name: 'edge',
    type: 'proxy',
    providers: [one],
    config: { session_backend: 'postgres' },
    service_connection: connection!.id,
  }
  const made = await core.ask(admin.key, 'POST', '/outposts/instances/', body)
  assert.equal(made.status, 201)
  const nested = (made.body as { service_connection_obj: { component: string } }).service_connection_obj
  assert.equal(nested.component, 'ak-service-connection-kubernetes-form')
  const warnings = () => db.rows(sql`select 1 from ${db.t('events')} where action = 'configuration_warning'`)
  assert.equal((await warnings()).length, 1)
  const { pk } = made.body as { pk: string }
  const config = { session_backend: 'postgres', kubernetes_postgresql_secret_name: 'db' }
  assert.equal((await core.ask(admin.key, 'PATCH', `/outposts/instances/${pk}/`, { config })).status, 200)
  assert.equal((await warnings()).length, 1)
})

test('a save that changes nothing rings nobody', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const admin = await addPerson(core, 'admin', 'superuser')
  const one = await addProxyProvider(core, 'one')
  const { id } = await addOutpost(core, 'edge', [one])
  const revision = async () =>
    Number((await db.first<{ revision: string }>(sql`select revision from ${db.t('outposts')}`))?.revision)
  const before = await revision()
  const path = `/outposts/instances/${id}/`
  const same = { name: 'edge', type: 'proxy', providers: [one], config: {} }
  assert.equal((await core.ask(admin.key, 'PUT', path, same)).status, 200)
  assert.equal(await revision(), before)
  assert.equal((await core.ask(admin.key, 'PATCH', path, { config: { log_level: 'debug' } })).status, 200)
  assert.equal(await revision(), before + 1)
})
