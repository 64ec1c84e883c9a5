import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPermission } from '../../src/core/api/permissions.ts'
import { anonymously, rows, startCore, type TestCore } from './start-core.ts'

const ours = /^\/api\/v3\/(providers|propertymappings|core\/applications|policies|flows|stages)\//
const open = new Set(['/providers/all/types/', '/propertymappings/all/types/', '/stages/all/types/'])

interface Call {
  method: string
  path: string
}

/** Every route as a call about an object that exists. */
async function calls(core: TestCore): Promise<Call[]> {
  const ask = core.admin.ask
  const oauth2 = (await ask('POST', '/providers/oauth2/', core.oauth2('grafana'))).body.pk
  const proxy = (await ask('POST', '/providers/proxy/', core.proxy('wiki'))).body.pk
  const application = await ask('POST', '/core/applications/', {
    name: 'wiki',
    slug: 'wiki',
    provider: proxy,
  })
  const target = application.body.pk
  const binding = (await ask('POST', '/policies/bindings/', { target, order: 0, user: core.admin.id })).body
    .pk
  const first = async (path: string) => ((await ask('GET', path)).body.results as { pk: string }[])[0]!.pk
  const places: [string, unknown][] = [
    ['/providers/oauth2/', oauth2],
    ['/providers/', proxy],
    ['/propertymappings/', await first('/propertymappings/all/')],
    ['/core/applications/', 'wiki'],
    ['/policies/bindings/', binding],
    ['/flows/instances/', 'default-authentication'],
    ['/flows/bindings/', await first('/flows/bindings/')],
    ['/stages/all/', await first('/stages/all/')],
  ]
  return core.routes
    .filter(route => ours.test(route.url))
    .flatMap(route =>
      [route.method].flat().map(method => {
        const path = route.url.slice('/api/v3'.length)
        const key = places.find(([prefix]) => path.startsWith(prefix))?.[1]
        return { method, path: path.replaceAll(/:[a-z_]+/g, String(key)) }
      }),
    )
}

/** A body that would be good if its sender might write it. */
function bodyOf(core: TestCore, { method, path }: Call): unknown {
  if (method === 'PATCH') return {}
  if (method !== 'POST' && method !== 'PUT') return undefined
  if (path.startsWith('/providers/oauth2/')) return core.oauth2('written')
  if (path.startsWith('/providers/proxy/')) return core.proxy('written')
  if (path.startsWith('/core/')) return { name: 'written', slug: 'written' }
  if (path.startsWith('/policies/'))
    return { target: core.flows.authentication, order: 0, user: core.admin.id }
  return { name: 'written', slug: 'written', title: 'written', designation: 'authorization' }
}

test('no route answers without credentials, and each names permissions that exist', async t => {
  const core = await startCore(t)
  const all = await calls(core)
  assert.ok(all.length >= 60, String(all.length))
  for (const call of all) {
    const answer = await anonymously(core, call.method, call.path, bodyOf(core, call))
    assert.equal(answer.status, 403, `${call.method} ${call.path}`)
    if (call.method !== 'HEAD') assert.equal(answer.body.code, 'not_authenticated')
  }
  for (const route of core.routes.filter(route => ours.test(route.url))) {
    const access = route.config?.access
    if (access === 'authenticated') assert.ok(open.has(route.url.slice('/api/v3'.length)), route.url)
    else if (typeof access !== 'object') assert.fail(`${route.url} is ${String(access)}`)
    else if ('permission' in access) assert.ok(isPermission(access.permission), access.permission)
    else if ('object' in access) assert.ok(isPermission(access.object), access.object)
  }
})

test('without permissions nothing is written and nothing of others is seen, custom actions included', async t => {
  const core = await startCore(t)
  const nobody = await core.person('nobody')
  for (const call of await calls(core)) {
    const answer = await nobody.ask(call.method, call.path, bodyOf(core, call))
    const said = `${call.method} ${call.path}: ${answer.status} ${JSON.stringify(answer.body)}`
    if (open.has(call.path)) assert.equal(answer.status, 200, said)
    else if (answer.body?.results !== undefined) assert.deepEqual(answer.body.results, [], said)
    else if (call.method === 'HEAD') assert.ok([200, 404].includes(answer.status), said)
    else assert.ok([403, 404].includes(answer.status), said)
  }
  // Nothing was deleted on the way.
  assert.equal(rows(await core.admin.ask('GET', '/providers/all/')).length, 2)
})

test('view on everything writes nothing', async t => {
  const core = await startCore(t)
  const models = [
    'authentik_core.view_application',
    'authentik_flows.view_flow',
    'authentik_flows.view_flowstagebinding',
    'authentik_flows.view_stage',
    'authentik_policies.view_policybinding',
    'authentik_providers_oauth2.view_oauth2provider',
    'authentik_providers_oauth2.view_scopemapping',
    'authentik_providers_proxy.view_proxyprovider',
    'authentik_core.view_user',
  ]
  const viewer = await core.person('viewer', models)
  for (const call of await calls(core)) {
    const answer = await viewer.ask(call.method, call.path, bodyOf(core, call))
    const expected = ['GET', 'HEAD'].includes(call.method) && !call.path.includes('preview_user') ? 200 : 403
    assert.equal(answer.status, expected, `${call.method} ${call.path} ${JSON.stringify(answer.body)}`)
  }
})

test('lists cost one statement besides that for who asks', async t => {
  const core = await startCore(t)
  await calls(core)
  for (const path of [
    '/providers/all/',
    '/providers/oauth2/',
    '/providers/proxy/',
    '/propertymappings/all/',
    '/policies/bindings/',
    '/flows/instances/',
    '/flows/bindings/',
    '/stages/all/',
  ]) {
    const statements = await core.database.countStatements(() => core.admin.ask('GET', path))
    const own = statements.filter(text => !text.includes('last_used_at = now()'))
    assert.equal(own.length, 2, own.join('\n'))
  }
})

test('every route is described, under a name of its own', async t => {
  const core = await startCore(t)
  const { body } = await core.admin.ask('GET', '/schema/?format=json')
  const paths = body.paths as Record<string, Record<string, { operationId: string }>>
  const names = Object.values(paths).flatMap(methods => Object.values(methods).map(one => one.operationId))
  assert.deepEqual(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
  )
  for (const name of [
    'providers_proxy_partial_update',
    'providers_oauth2_preview_user_retrieve',
    'core_applications_check_access_retrieve',
    'policies_bindings_create',
    'flows_instances_execute_retrieve',
    'stages_all_types_list',
  ])
    assert.ok(names.includes(name), name)
})
