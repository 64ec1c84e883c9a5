import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { column, rows, startCore, type TestCore } from './start-core.ts'

const path = '/policies/bindings/'
const binder = ['view', 'add', 'change', 'delete'].map(action => `authentik_policies.${action}_policybinding`)
const everything = [...binder, 'authentik_core.view_user', 'authentik_core.view_group']

async function application(core: TestCore, slug: string): Promise<string> {
  return (await core.admin.ask('POST', '/core/applications/', { name: slug, slug })).body.pk as string
}

async function version(core: TestCore, flow: string): Promise<number> {
  const { db } = core.database
  return (await db.first<{ version: number }>(sql`select version from ${db.t('flows')} where id = ${flow}`))!
    .version
}

test('a binding names one user or one group, and nothing else', async t => {
  const core = await startCore(t)
  const target = await application(core, 'wiki')
  const group = (await core.admin.ask('POST', '/core/groups/', { name: 'staff' })).body.pk
  const unknown = '00000000-0000-4000-8000-000000000000'
  for (const [field, body] of [
    ['non_field_errors', { target, order: 0 }],
    ['non_field_errors', { target, order: 0, user: core.admin.id, group }],
    ['non_field_errors', { target, order: 0, user: null, group: null }],
    ['policy', { target, order: 0, policy: unknown }],
    ['user', { target, order: 0, user: 4711 }],
    ['group', { target, order: 0, group: unknown }],
    ['target', { target: unknown, order: 0, group }],
    ['order', { target, group }],
    ['order', { target, order: 3_000_000_000, group }],
  ] as const) {
    const answer = await core.admin.ask('POST', path, body)
    assert.equal(answer.status, 400, JSON.stringify(body))
    assert.deepEqual(Object.keys(answer.body), [field, 'code'], JSON.stringify(answer.body))
  }
  const made = await core.admin.ask('POST', path, { target, order: 0, group })
  assert.equal(made.status, 201)
  const item = `${path}${made.body.pk}/`
  assert.equal((await core.admin.ask('PATCH', item, { user: core.admin.id })).status, 400)
  const swapped = await core.admin.ask('PATCH', item, { user: core.admin.id, group: null })
  assert.deepEqual([swapped.body.user, swapped.body.group], [core.admin.id, null])
  assert.equal((await core.admin.ask('PATCH', item, { user: null })).status, 400)
})

test('who may bind may still not open what he may not change', async t => {
  const core = await startCore(t)
  const target = await application(core, 'wiki')
  const other = await application(core, 'other')
  const closing = await core.admin.ask('POST', path, { target, order: 0, user: core.admin.id })
  const item = `${path}${closing.body.pk}/`
  const mallory = await core.person('mallory', everything)
  const mine = { target, order: 0, user: mallory.id }
  assert.equal((await mallory.ask('POST', path, mine)).status, 400)
  const { db } = core.database
  const grant = (permission: string, object: string) =>
    db.count(sql`insert into ${db.t('role_permissions')} (role_id, permission, object_id)
      values (${mallory.role}, ${permission}, ${object})`)
  await grant('authentik_core.view_application', target)
  assert.equal((await mallory.ask('POST', path, mine)).status, 403)
  // Taking away the last binding, disabling it, turning it round or moving it away would open it as well.
  assert.equal((await mallory.ask('DELETE', item)).status, 403)
  for (const change of [{ enabled: false }, { negate: true }, { target: other }, { user: mallory.id }])
    assert.equal((await mallory.ask('PATCH', item, change)).status, 403, JSON.stringify(change))
  assert.deepEqual(column(await mallory.ask('GET', '/core/applications/'), 'slug'), ['other'])
  await grant('authentik_core.change_application', target)
  assert.equal((await mallory.ask('PATCH', item, { target: other })).status, 400)
  assert.equal((await mallory.ask('POST', path, mine)).status, 201)
  assert.deepEqual(column(await mallory.ask('GET', '/core/applications/'), 'slug'), ['other', 'wiki'])
})

test('a stage of a login is not skipped by who may only bind', async t => {
  const core = await startCore(t)
  const [stage] = column(await core.admin.ask('GET', '/flows/bindings/'), 'pk')
  const mallory = await core.person('mallory', [
    ...everything,
    'authentik_flows.view_flow',
    'authentik_flows.view_flowstagebinding',
  ])
  for (const target of [stage, core.flows.authentication]) {
    const answer = await mallory.ask('POST', path, { target, order: 0, user: mallory.id, negate: true })
    assert.equal(answer.status, 403)
  }
})

test('plans of a flow start over when who it is for changes', async t => {
  const core = await startCore(t)
  const [stage] = column(await core.admin.ask('GET', '/flows/bindings/'), 'pk')
  const flow = core.flows.authentication
  const before = await version(core, flow)
  const ofStage = await core.admin.ask('POST', path, { target: stage, order: 0, user: core.admin.id })
  assert.equal(await version(core, flow), before + 1)
  await core.admin.ask('PATCH', `${path}${ofStage.body.pk}/`, { target: flow })
  assert.equal(await version(core, flow), before + 2)
  await core.admin.ask('DELETE', `${path}${ofStage.body.pk}/`)
  assert.equal(await version(core, flow), before + 3)
  await core.admin.ask('PATCH', '/flows/instances/default-authentication/', { title: 'Welcome' })
  assert.equal(await version(core, flow), before + 4)
  assert.equal(await version(core, core.flows.authorization), 1)
})

test('whom a binding names is shown to who may view him', async t => {
  const core = await startCore(t)
  const target = await application(core, 'wiki')
  const group = (await core.admin.ask('POST', '/core/groups/', { name: 'staff' })).body.pk
  await core.admin.ask('POST', path, { target, order: 0, user: core.admin.id })
  await core.admin.ask('POST', path, { target, order: 1, group })
  const viewer = await core.person('viewer', ['authentik_policies.view_policybinding'])
  const list = rows(await viewer.ask('GET', `${path}?target=${target}`))
  assert.deepEqual(
    list.map(row => [row.user, row.group, row.user_obj, row.group_obj]),
    [
      [core.admin.id, null, null, null],
      [null, group, null, null],
    ],
  )
  const shown = rows(await core.admin.ask('GET', `${path}?target_in=${target}&ordering=-order&search=staff`))
  assert.equal((shown[0]!.group_obj as { name: string }).name, 'staff')
  assert.deepEqual(rows(await core.admin.ask('GET', `${path}?policy__isnull=false`)), [])
  const nobody = await core.person('nobody')
  assert.deepEqual(rows(await nobody.ask('GET', path)), [])
})

test('a flow that providers use cannot be deleted; one that nobody uses takes its bindings along', async t => {
  const core = await startCore(t)
  await core.admin.ask('POST', '/providers/proxy/', core.proxy('wiki'))
  const refused = await core.admin.ask('DELETE', '/flows/instances/default-authorization/')
  assert.equal(refused.status, 400)
  assert.match(JSON.stringify(refused.body), /wiki/)
  const [stage] = column(await core.admin.ask('GET', '/flows/bindings/'), 'pk')
  for (const target of [stage, core.flows.authentication])
    await core.admin.ask('POST', path, { target, order: 0, user: core.admin.id })
  assert.equal((await core.admin.ask('DELETE', '/flows/instances/default-authentication/')).status, 204)
  assert.deepEqual(rows(await core.admin.ask('GET', path)), [])
  assert.deepEqual(rows(await core.admin.ask('GET', '/flows/bindings/')), [])
})

test('a flow takes no slug that cannot be in an address, no background that runs code', async t => {
  const core = await startCore(t)
  const flow = { name: 'x', slug: 'x', title: 'x', designation: 'authorization' }
  for (const [field, more] of [
    ['slug', { slug: 'a b' }],
    ['slug', { slug: 'default-authorization' }],
    ['designation', { designation: 'other' }],
    ['background', { background: 'javascript:alert(1)' }],
    ['denied_action', { denied_action: 'explode' }],
  ] as const) {
    const answer = await core.admin.ask('POST', '/flows/instances/', { ...flow, ...more })
    assert.deepEqual(Object.keys(answer.body), [field, 'code'], JSON.stringify(answer.body))
  }
})
