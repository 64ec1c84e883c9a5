import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { addOutpost, addPerson, addProxyProvider, officialClient, startCore, version } from './start-core.ts'

test('an outpost is told about its providers with their secrets, in one statement, and nobody else is', async t => {
  const core = await startCore(t)
  const one = await addProxyProvider(core, 'one')
  const unused = await addProxyProvider(core, 'unused', { application: false })
  const foreign = await addProxyProvider(core, 'foreign')
  const mine = await addOutpost(core, 'mine', [one, unused])
  await addOutpost(core, 'other', [foreign])
  const api = officialClient(core, mine.key)
  const { results, pagination } = await api.outpostsProxyList({ pageSize: 100 })
  assert.deepEqual(
    results.map(row => row.name),
    ['one'],
  )
  assert.equal(pagination.next, 0)
  const row = results[0]!
  assert.deepEqual(
    [row.pk, row.clientId, row.clientSecret, row.cookieSecret],
    [one, 'client-one', 'secret of one', 'cookie of one'],
  )
  assert.deepEqual(
    [row.externalHost, row.mode, row.certificate ?? null],
    ['https://one.example.com', 'proxy', null],
  )
  assert.deepEqual([row.accessTokenValidity, row.scopesToRequest], [600, ['openid', 'profile']])
  assert.deepEqual([row.assignedApplicationSlug, row.assignedApplicationName], ['one', 'App one'])
  assert.deepEqual(row.oidcConfiguration, {
    issuer: 'http://core.test/application/o/one/',
    authorizationEndpoint: 'http://core.test/application/o/authorize/',
    endSessionEndpoint: 'http://core.test/application/o/one/end-session/',
    tokenEndpoint: `${core.origin}/application/o/token/`,
    userinfoEndpoint: `${core.origin}/application/o/userinfo/`,
    introspectionEndpoint: `${core.origin}/application/o/introspect/`,
    jwksUri: `${core.origin}/application/o/one/jwks/`,
    responseTypesSupported: ['code'],
    idTokenSigningAlgValuesSupported: ['HS256'],
    subjectTypesSupported: ['public'],
    tokenEndpointAuthMethodsSupported: ['client_secret_post', 'client_secret_basic'],
  })
  const statements = await core.database.countStatements(() => api.outpostsProxyList({ pageSize: 100 }))
  const counted = statements.filter(text => !text.includes('set last_used_at') && !text.includes('nodes'))
  assert.equal(counted.length, 2, counted.join('\n'))
  assert.equal(counted.filter(text => text.includes('proxy_providers')).length, 1)

  const admin = await addPerson(core, 'admin', 'superuser')
  const refused = await core.ask(admin.key, 'GET', '/outposts/proxy/')
  assert.equal(refused.status, 403)
  assert.equal((refused.body as { code: string }).code, 'permission_denied')
})

test('health shows the processes that reported themselves, against the version that runs now', async t => {
  const core = await startCore(t)
  const { db } = core.core
  const { id, key } = await addOutpost(core, 'edge')
  const insert = (instance: string, hello: object, ends: string) =>
    db.count(sql`
      insert into ${db.t('outpost_instances')} (outpost_id, instance_id, hello, expires_at)
      values (${id}, ${instance}, ${JSON.stringify(hello)}, now() + ${ends}::interval)`)
  const hello = {
    ...{ version, buildHash: 'abc123', golangVersion: 'node 24', hostname: 'here' },
    ...{ opensslEnabled: true, opensslVersion: '3.5', fipsEnabled: true },
  }
  await insert('a', hello, '15 seconds')
  await insert('b', { ...hello, version: '0.0.1' }, '15 seconds')
  await insert('c', { ...hello, version: '0.0.1', buildHash: 'other' }, '15 seconds')
  await insert('d', {}, '15 seconds')
  await insert('gone', hello, '-1 seconds')
  const health = await officialClient(core, key).outpostsInstancesHealthList({ uuid: id })
  assert.deepEqual(
    health.map(one => [one.uid, one.version, one.versionOutdated]),
    [
      ['a', version, false],
      ['b', '0.0.1', true],
      ['c', '0.0.1', false],
      ['d', '', false],
    ],
  )
  const { lastSeen, ...first } = health[0]!
  assert.ok(Math.abs(lastSeen.getTime() - Date.now()) < 60_000)
  assert.deepEqual(first, {
    ...{ uid: 'a', version, golangVersion: 'node 24', opensslEnabled: true, opensslVersion: '3.5' },
    ...{ fipsEnabled: null, versionShould: version, versionOutdated: false, buildHash: 'abc123' },
    ...{ buildHashShould: 'abc123', hostname: 'here' },
  })
})
