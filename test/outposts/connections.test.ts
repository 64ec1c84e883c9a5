import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { checkConnections } from '../../src/core/outposts/connection-state.ts'
import { sql } from '../../src/pg/db.ts'
import { selfSigned } from '../link/certificate.ts'
import {
  addCertificate,
  addOutpost,
  addPerson,
  officialClient,
  startCore,
  type TestCore,
} from './start-core.ts'

async function listen(t: TestContext, server: Server, at: number | string): Promise<number> {
  await new Promise<void>(resolve =>
    server.listen(at as number, typeof at === 'number' ? '127.0.0.1' : undefined, resolve),
  )
  t.after(() => new Promise(resolve => server.close(resolve)))
  const address = server.address()
  return typeof address === 'string' ? 0 : (address as AddressInfo).port
}

/** Answers `/version` as a Docker engine or a Kubernetes API does. */
const versions =
  (body: object): RequestListener =>
  (request, response) => {
    response.writeHead(request.url === '/version' ? 200 : 404, { connection: 'close' })
    response.end(JSON.stringify(body))
  }

const base = '/outposts/service_connections'

function kubeconfig(server: string, user: object, cluster: object = {}) {
  return {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    clusters: [{ name: 'k', cluster: { server, ...cluster } }],
    users: [{ name: 'u', user }],
  }
}

test('the official client creates, lists, updates and deletes connections of both kinds', async t => {
  const core = await startCore(t)
  const admin = await addPerson(core, 'admin', 'superuser')
  const api = officialClient(core, admin.key)
  const pair = await addCertificate(core, 'pair', await selfSigned())
  const docker = await api.outpostsServiceConnectionsDockerCreate({
    dockerServiceConnectionRequest: { name: 'd', url: 'https://docker:2376', tlsVerification: pair },
  })
  assert.deepEqual([docker.local, docker.component], [false, 'ak-service-connection-docker-form'])
  assert.deepEqual([docker.tlsVerification, docker.tlsAuthentication ?? null], [pair, null])
  const config = kubeconfig('https://k8s:6443', { token: 'the token' })
  const kubernetes = await api.outpostsServiceConnectionsKubernetesCreate({
    kubernetesServiceConnectionRequest: { name: 'k', kubeconfig: config },
  })
  assert.deepEqual([kubernetes.kubeconfig, kubernetes.verifySsl], [config, true])
  const all = await api.outpostsServiceConnectionsAllList({})
  assert.deepEqual(
    all.results.map(one => [one.name, one.metaModelName]),
    [
      ['d', 'authentik_outposts.dockerserviceconnection'],
      ['k', 'authentik_outposts.kubernetesserviceconnection'],
    ],
  )
  const types = await api.outpostsServiceConnectionsAllTypesList()
  assert.deepEqual(
    types.map(type => type.name),
    ['Docker', 'Kubernetes'],
  )
  const renamed = await api.outpostsServiceConnectionsKubernetesPartialUpdate({
    uuid: kubernetes.pk,
    patchedKubernetesServiceConnectionRequest: { name: 'k2', verifySsl: false },
  })
  assert.deepEqual([renamed.name, renamed.verifySsl, renamed.kubeconfig], ['k2', false, config])
  const moved = await api.outpostsServiceConnectionsDockerPartialUpdate({
    uuid: docker.pk,
    patchedDockerServiceConnectionRequest: { url: 'unix:///run/docker.sock' },
  })
  assert.deepEqual([moved.url, moved.tlsVerification], ['unix:///run/docker.sock', pair])
  const found = await api.outpostsServiceConnectionsDockerList({
    url: 'unix:///run/docker.sock',
    local: false,
  })
  assert.equal(found.results.length, 1)
  assert.equal((await api.outpostsServiceConnectionsKubernetesList({ local: true })).results.length, 0)

  const outpost = await addOutpost(core, 'edge', [], { serviceConnection: docker.pk })
  const used = await api.outpostsServiceConnectionsAllUsedByList({ uuid: docker.pk })
  assert.deepEqual(used, [
    { app: 'authentik_outposts', modelName: 'outpost', pk: outpost.id, name: 'edge', action: 'set_null' },
  ])
  await api.outpostsServiceConnectionsAllDestroy({ uuid: docker.pk })
  const left = await api.outpostsInstancesRetrieve({ uuid: outpost.id })
  assert.deepEqual([left.serviceConnection ?? null, left.serviceConnectionObj ?? null], [null, null])
})

test('input that is not allowed is refused, naming the field', async t => {
  const core = await startCore(t)
  const admin = await addPerson(core, 'admin', 'superuser')
  const good = kubeconfig('https://k8s', { token: 't' })
  const nobody = '00000000-0000-4000-8000-000000000000'
  const cases: [string, object, string][] = [
    ['docker', { name: 'x' }, 'url'],
    ['docker', { name: 'x', url: 'docker:2376' }, 'url'],
    ['docker', { name: 'x', url: 'file:///etc/passwd' }, 'url'],
    ['docker', { name: 'x', url: 'unix://' }, 'url'],
    ['docker', { name: 'x', url: 'https://me:secret@docker' }, 'url'],
    ['docker', { name: 'x', url: 'http://d', tls_authentication: nobody }, 'tls_authentication'],
    ['kubernetes', { name: 'x' }, 'kubeconfig'],
    ['kubernetes', { name: 'x', kubeconfig: {}, local: false }, 'kubeconfig'],
    ['kubernetes', { name: 'x', kubeconfig: { ...good, 'current-context': 'z' } }, 'kubeconfig'],
    ['kubernetes', { name: 'x', kubeconfig: 'a: [', local: true }, 'kubeconfig'],
  ]
  for (const [kind, body, field] of cases) {
    const answer = await core.ask(admin.key, 'POST', `${base}/${kind}/`, body)
    assert.equal(answer.status, 400, JSON.stringify(body))
    assert.ok(Object.hasOwn(answer.body as object, field), JSON.stringify(answer.body))
  }
  const local = await core.ask(admin.key, 'POST', `${base}/kubernetes/`, { name: 'x', local: true })
  assert.equal(local.status, 201)
  const { pk } = local.body as { pk: string }
  assert.equal(
    (await core.ask(admin.key, 'PATCH', `${base}/kubernetes/${pk}/`, { local: false })).status,
    400,
  )
  const yaml = `${base}/kubernetes/`
  const text = await core.ask(admin.key, 'POST', yaml, { name: 'y', kubeconfig: JSON.stringify(good) })
  assert.deepEqual((text.body as { kubeconfig: object }).kubeconfig, good)
  assert.equal(
    (await core.ask(admin.key, 'POST', `${base}/docker/`, { name: 'y', url: 'http://d' })).status,
    400,
  )
  assert.equal((await core.ask(admin.key, 'GET', `${base}/docker/${pk}/`)).status, 404, 'of the other kind')
})

test('credentials of a cluster are stored sealed and shown only to who may replace them', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const admin = await addPerson(core, 'admin', 'superuser')
  const viewer = await addPerson(core, 'viewer', ['authentik_outposts.view_kubernetesserviceconnection'])
  const config = kubeconfig('https://k8s', { token: 'very secret token' })
  const made = await core.ask(admin.key, 'POST', `${base}/kubernetes/`, { name: 'k', kubeconfig: config })
  assert.equal(made.status, 201)
  const { pk } = made.body as { pk: string }
  const other = kubeconfig('https://k8s', {
    'client-key-data': btoa('very secret key'),
    token: 'very secret token',
  })
  const changed = await core.ask(admin.key, 'PATCH', `${base}/kubernetes/${pk}/`, { kubeconfig: other })
  assert.deepEqual((changed.body as { kubeconfig: object }).kubeconfig, other)
  const seen = await core.ask(viewer.key, 'GET', `${base}/kubernetes/`)
  assert.equal(seen.status, 200)
  const [row] = (seen.body as { results: { kubeconfig: object }[] }).results
  assert.deepEqual(row?.kubeconfig, {})
  assert.equal(
    (await core.ask(viewer.key, 'POST', `${base}/kubernetes/`, { name: 'l', local: true })).status,
    403,
  )
  const stored = await db.rows(sql`select s::text from ${db.t('service_connections')} s`)
  const events = await db.rows(sql`select e::text from ${db.t('events')} e`)
  for (const place of [stored, events, core.lines])
    assert.doesNotMatch(JSON.stringify(place), new RegExp(`very secret|${btoa('very secret key')}`))
  assert.equal(events.length, 2)
})

async function stateOf(core: TestCore, key: string, kind: string, body: object) {
  const made = await core.ask(key, 'POST', `${base}/${kind}/`, body)
  assert.equal(made.status, 201, JSON.stringify(made.body))
  const { pk } = made.body as { pk: string }
  return { pk, state: (await core.ask(key, 'GET', `${base}/all/${pk}/state/`)).body }
}

test('the state is asked for at once, over unix socket, TCP and TLS, and kept until the connection changes', async t => {
  const core = await startCore(t)
  const admin = await addPerson(core, 'admin', 'superuser')
  const folder = await mkdtemp(join(tmpdir(), 'postern-docker-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  let asked = 0
  const engine = versions({ Version: '27.1' })
  const unix = createServer((request, response) => {
    asked++
    engine(request, response)
  })
  const socket = join(folder, 'docker.sock')
  await listen(t, unix, socket)
  const up = { healthy: true, version: '27.1' }
  const first = await stateOf(core, admin.key, 'docker', {
    name: 'unix',
    local: true,
    url: `unix://${socket}`,
  })
  assert.deepEqual(first.state, up)
  const again = () => core.ask(admin.key, 'GET', `${base}/all/${first.pk}/state/`)
  assert.deepEqual((await again()).body, up)
  assert.equal(asked, 1)

  const pair = await selfSigned()
  const certificate = await addCertificate(core, 'pair', pair)
  const tls = await listen(t, createTlsServer({ cert: pair.certificate, key: pair.key }, engine), 0)
  const url = `https://localhost:${tls}`
  const trusted = await stateOf(core, admin.key, 'docker', {
    name: 'tls',
    url,
    tls_verification: certificate,
  })
  assert.deepEqual(trusted.state, up)
  const untrusted = await stateOf(core, admin.key, 'docker', { name: 'untrusted', url })
  assert.deepEqual(untrusted.state, { healthy: false, version: '' })
  const gone = await core.ask(admin.key, 'PATCH', `${base}/docker/${first.pk}/`, {
    url: 'unix:///nowhere/docker.sock',
  })
  assert.equal(gone.status, 200)
  assert.deepEqual((await again()).body, { healthy: false, version: '' })
})

test('a Kubernetes API is asked with the credentials of its kubeconfig, and a silent one is given two seconds', async t => {
  const core = await startCore(t)
  const admin = await addPerson(core, 'admin', 'superuser')
  const credentials: unknown[] = []
  const pair = await selfSigned()
  const api = createTlsServer({ cert: pair.certificate, key: pair.key }, (request, response) => {
    credentials.push(request.headers.authorization)
    versions({ gitVersion: 'v1.35.0' })(request, response)
  })
  const server = `https://localhost:${await listen(t, api, 0)}`
  const ca = { 'certificate-authority-data': btoa(pair.certificate) }
  const up = { healthy: true, version: 'v1.35.0' }
  const config = kubeconfig(server, { token: 'tok' }, ca)
  assert.deepEqual(
    (await stateOf(core, admin.key, 'kubernetes', { name: 'a', kubeconfig: config })).state,
    up,
  )
  const unverified = kubeconfig(server, { username: 'u', password: 'p' })
  const strict = await stateOf(core, admin.key, 'kubernetes', { name: 'b', kubeconfig: unverified })
  assert.deepEqual(strict.state, { healthy: false, version: '' })
  const lax = { name: 'c', kubeconfig: unverified, verify_ssl: false }
  assert.deepEqual((await stateOf(core, admin.key, 'kubernetes', lax)).state, up)
  assert.deepEqual(credentials, ['Bearer tok', `Basic ${btoa('u:p')}`])

  const silent = createServer(() => {})
  t.after(() => silent.closeAllConnections())
  const quiet = kubeconfig(`http://127.0.0.1:${await listen(t, silent, 0)}`, { token: 'tok' })
  const started = performance.now()
  const late = await stateOf(core, admin.key, 'kubernetes', { name: 'd', kubeconfig: quiet })
  assert.deepEqual(late.state, { healthy: false, version: '' })
  assert.ok(performance.now() - started < 20_000)
  assert.equal(await checkConnections(core.core), 2)
})
