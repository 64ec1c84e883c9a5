import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  Configuration,
  CoreApi,
  FlowsApi,
  MatchingModeEnum,
  PoliciesApi,
  PropertymappingsApi,
  ProvidersApi,
  ProxyMode,
  StagesApi,
} from '@goauthentik/api'
import { publishedSchema } from '../api/published-schema.ts'
import { startCore, type TestCore } from './start-core.ts'

const published = await publishedSchema()

/** The official client, with every answer it gets checked against the document it was generated from. */
function clientOf(core: TestCore, key = core.admin.key) {
  const seen: string[] = []
  const configuration = new Configuration({
    basePath: `${core.origin}/api/v3`,
    accessToken: key,
    middleware: [
      {
        async post({ url, init, response }) {
          if (!response.ok) assert.fail(`${url} ${response.status} ${await response.clone().text()}`)
          const path = new URL(url).pathname.slice('/api/v3'.length)
          const method = init.method ?? 'GET'
          const text = await response.clone().text()
          const body = text === '' ? undefined : JSON.parse(text)
          const problems = published.problems(method, path, response.status, body)
          assert.deepEqual(problems, [], `${method} ${path} ${response.status}`)
          seen.push(`${method} ${path}`)
        },
      },
    ],
  })
  return {
    seen,
    providers: new ProvidersApi(configuration),
    core: new CoreApi(configuration),
    policies: new PoliciesApi(configuration),
    flows: new FlowsApi(configuration),
    stages: new StagesApi(configuration),
    mappings: new PropertymappingsApi(configuration),
  }
}

test('proxy providers: the official client creates, changes, finds and deletes them', async t => {
  const core = await startCore(t)
  const { providers } = clientOf(core)
  const made = await providers.providersProxyCreate({
    proxyProviderRequest: {
      name: 'Wiki',
      authorizationFlow: core.flows.authorization,
      invalidationFlow: core.flows.invalidation,
      externalHost: 'https://wiki.example.com',
      internalHost: 'http://10.0.0.2:3000',
    },
  })
  assert.equal(made.mode, ProxyMode.Proxy)
  assert.equal(made.clientId.length, 40)
  assert.equal(made.interceptHeaderAuth, true)
  assert.equal(made.accessTokenValidity, 'hours=24')
  assert.equal(made.metaModelName, 'authentik_providers_proxy.proxyprovider')
  assert.deepEqual(
    made.redirectUris.map(uri => uri.url),
    [
      'https://wiki.example.com/outpost.goauthentik.io/callback?X-authentik-auth-callback=true',
      'https://wiki.example.com?X-authentik-auth-callback=true',
    ],
  )
  const patched = await providers.providersProxyPartialUpdate({
    id: made.pk,
    patchedProxyProviderRequest: { mode: ProxyMode.ForwardSingle, internalHost: '' },
  })
  assert.equal(patched.mode, ProxyMode.ForwardSingle)
  assert.equal(patched.clientId, made.clientId)
  const put = await providers.providersProxyUpdate({
    id: made.pk,
    proxyProviderRequest: {
      name: 'Wiki 2',
      authorizationFlow: core.flows.authorization,
      invalidationFlow: core.flows.invalidation,
      externalHost: 'https://wiki2.example.com',
    },
  })
  assert.equal(put.name, 'Wiki 2')
  assert.equal(put.redirectUris[1]?.url, 'https://wiki2.example.com?X-authentik-auth-callback=true')
  const found = await providers.providersProxyList({
    nameIexact: 'wiki 2',
    applicationIsnull: true,
    authorizationFlowSlugIexact: 'default-authorization',
    modeIexact: 'forward_single',
    propertyMappingsIexact: made.propertyMappings,
  })
  assert.deepEqual(
    found.results.map(row => row.pk),
    [made.pk],
  )
  assert.deepEqual((await providers.providersProxyList({ nameIexact: 'wiki' })).results, [])
  await providers.providersProxyDestroy({ id: made.pk })
  assert.equal((await providers.providersAllList({})).pagination.count, 0)
})

test('OAuth2 providers: the official client creates, reads and changes them, addresses and preview', async t => {
  const core = await startCore(t)
  const client = clientOf(core)
  const { providers } = client
  const mappings = await client.mappings.propertymappingsProviderScopeList({ scopeName: 'profile' })
  assert.equal(mappings.results.length, 1)
  const made = await providers.providersOauth2Create({
    oAuth2ProviderRequest: {
      name: 'Grafana',
      authorizationFlow: core.flows.authorization,
      invalidationFlow: core.flows.invalidation,
      propertyMappings: mappings.results.map(mapping => mapping.pk),
      redirectUris: [
        { matchingMode: MatchingModeEnum.Strict, url: 'https://grafana.example.com/login/generic_oauth' },
      ],
    },
  })
  assert.equal(made.clientId?.length, 40)
  assert.equal(made.clientSecret?.length, 128)
  assert.deepEqual(made.grantTypes, ['authorization_code', 'refresh_token'])
  assert.equal(made.redirectUris[0]?.redirectUriType, 'authorization')
  const patched = await providers.providersOauth2PartialUpdate({
    id: made.pk,
    patchedOAuth2ProviderRequest: { accessTokenValidity: 'minutes=5' },
  })
  assert.equal(patched.accessTokenValidity, 'minutes=5')
  assert.equal(patched.clientSecret, made.clientSecret)
  await client.core.coreApplicationsCreate({
    applicationRequest: { name: 'Grafana', slug: 'grafana', provider: made.pk },
  })
  const urls = await providers.providersOauth2SetupUrlsRetrieve({ id: made.pk })
  assert.equal(urls.issuer, 'https://core.example.com/application/o/grafana/')
  assert.equal(
    urls.providerInfo,
    'https://core.example.com/application/o/grafana/.well-known/openid-configuration',
  )
  assert.equal(urls.userInfo, 'https://core.example.com/application/o/userinfo/')
  const { preview } = await providers.providersOauth2PreviewUserRetrieve({ id: made.pk })
  assert.equal(preview.preferred_username, 'akadmin')
  assert.deepEqual(preview.groups, ['group of akadmin'])
  assert.equal(preview.aud, made.clientId)
  const found = await providers.providersOauth2List({
    clientId: made.clientId,
    propertyMappings: made.propertyMappings,
  })
  assert.equal(found.pagination.count, 1)
  const all = await providers.providersAllList({ applicationIsnull: false, search: 'graf' })
  assert.equal(all.results[0]?.assignedApplicationSlug, 'grafana')
  assert.equal((await providers.providersAllRetrieve({ id: made.pk })).name, 'Grafana')
  const used = await providers.providersAllUsedByList({ id: made.pk })
  assert.deepEqual(
    used.map(one => [one.modelName, one.name, one.action]),
    [['application', 'Grafana', 'set_null']],
  )
  assert.deepEqual((await providers.providersAllTypesList()).map(kind => kind.modelName).sort(), [
    'oauth2provider',
    'proxyprovider',
  ])
  await providers.providersOauth2Destroy({ id: made.pk })
  assert.equal((await client.core.coreApplicationsRetrieve({ slug: 'grafana' })).provider, undefined)
})

test('applications and bindings: the official client does all that can be done with them', async t => {
  const core = await startCore(t)
  const alice = await core.person('alice')
  const client = clientOf(core)
  const proxy = await client.providers.providersProxyCreate({
    proxyProviderRequest: {
      name: 'Wiki',
      authorizationFlow: core.flows.authorization,
      invalidationFlow: core.flows.invalidation,
      externalHost: 'https://wiki.example.com',
      internalHost: 'http://10.0.0.2:3000',
    },
  })
  const made = await client.core.coreApplicationsCreate({
    applicationRequest: {
      name: 'Wiki',
      slug: 'wiki',
      provider: proxy.pk,
      group: 'Knowledge',
      metaIcon: 'fa://fa-book',
    },
  })
  assert.equal(made.launchUrl, 'https://wiki.example.com/')
  assert.equal(made.providerObj?.name, 'Wiki')
  assert.equal(made.metaIconUrl, 'fa://fa-book')
  const changed = await client.core.coreApplicationsPartialUpdate({
    slug: 'wiki',
    patchedApplicationRequest: { metaLaunchUrl: 'https://wiki.example.com/u/%(username)s', slug: 'wiki2' },
  })
  assert.equal(changed.launchUrl, 'https://wiki.example.com/u/akadmin')
  const binding = await client.policies.policiesBindingsCreate({
    policyBindingRequest: { target: made.pk, user: alice.id, order: 0 },
  })
  assert.equal(binding.userObj?.username, 'alice')
  assert.equal(binding.expiring, false)
  const own = await client.core.coreApplicationsCheckAccessRetrieve({ slug: 'wiki2' })
  assert.equal(own.passing, false)
  const hers = await client.core.coreApplicationsCheckAccessRetrieve({ slug: 'wiki2', forUser: alice.id })
  assert.equal(hers.passing, true)
  assert.equal((await client.core.coreApplicationsList({})).pagination.count, 0)
  const full = await client.core.coreApplicationsList({ superuserFullList: true })
  assert.equal(full.pagination.count, 1)
  const forAlice = await client.core.coreApplicationsList({ forUser: alice.id, onlyWithLaunchUrl: true })
  assert.equal(forAlice.results[0]?.launchUrl, 'https://wiki.example.com/u/alice')
  const list = await client.policies.policiesBindingsList({ targetIn: [made.pk], policyIsnull: true })
  assert.equal(list.results[0]?.pk, binding.pk)
  await client.policies.policiesBindingsUpdate({
    policyBindingUuid: binding.pk,
    policyBindingRequest: { target: made.pk, user: core.admin.id, order: 5, negate: true },
  })
  const used = await client.core.coreApplicationsUsedByList({ slug: 'wiki2' })
  assert.deepEqual(
    used.map(one => one.modelName),
    ['policybinding'],
  )
  await client.policies.policiesBindingsDestroy({ policyBindingUuid: binding.pk })
  await client.core.coreApplicationsDestroy({ slug: 'wiki2' })
  assert.ok(client.seen.length >= 14)
})

test('flows, stages and mappings: the official client reads them and writes flows', async t => {
  const core = await startCore(t)
  const client = clientOf(core)
  const { flows, stages, mappings } = client
  const list = await flows.flowsInstancesList({ slug: 'default-authentication' })
  assert.equal(list.results[0]?.stages.length, 1)
  const bindings = await flows.flowsBindingsList({ target: core.flows.authentication })
  assert.equal(bindings.results[0]?.stageObj.metaModelName, 'authentik_stages_password.passwordstage')
  assert.equal(
    (await flows.flowsBindingsRetrieve({ fsbUuid: bindings.results[0].pk })).stageObj.flowSet[0]?.slug,
    'default-authentication',
  )
  const made = await flows.flowsInstancesCreate({
    flowRequest: { name: 'Custom', slug: 'custom', title: 'Custom', designation: 'authorization' },
  })
  assert.equal(made.deniedAction, 'message_continue')
  const changed = await flows.flowsInstancesPartialUpdate({
    slug: 'custom',
    patchedFlowRequest: { title: 'Another title', background: '/static/dist/%(theme)s.jpg' },
  })
  assert.equal(changed.backgroundUrl, '/static/dist/light.jpg')
  assert.deepEqual(changed.backgroundThemedUrls, {
    light: '/static/dist/light.jpg',
    dark: '/static/dist/dark.jpg',
  })
  assert.equal(
    (await flows.flowsInstancesExecuteRetrieve({ slug: 'custom' })).link,
    'https://core.example.com/if/flow/custom/',
  )
  await flows.flowsInstancesDestroy({ slug: 'custom' })
  const usedBy = await flows.flowsInstancesUsedByList({ slug: 'default-authentication' })
  assert.deepEqual(
    usedBy.map(one => one.modelName),
    ['flowstagebinding'],
  )
  const all = await stages.stagesAllList({})
  assert.equal(all.results[0]?.component, 'ak-stage-password-form')
  assert.equal((await stages.stagesAllRetrieve({ stageUuid: all.results[0].pk })).name, 'password')
  const kinds = (await stages.stagesAllTypesList()).map(kind => kind.modelName)
  assert.ok(kinds.includes('identificationstage') && !kinds.includes('initialsetupstage'))
  const scopes = await mappings.propertymappingsAllList({ managedIsnull: false })
  assert.equal(scopes.pagination.count, 7)
  const [first] = scopes.results
  assert.equal((await mappings.propertymappingsAllRetrieve({ pmUuid: first!.pk })).name, first!.name)
  assert.equal((await mappings.propertymappingsProviderScopeRetrieve({ pmUuid: first!.pk })).pk, first!.pk)
  assert.deepEqual(await mappings.propertymappingsAllUsedByList({ pmUuid: first!.pk }), [])
  assert.equal((await mappings.propertymappingsAllTypesList())[0]?.modelName, 'scopemapping')
})
