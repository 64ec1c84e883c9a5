import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sha256 } from '../../src/core/secrets.ts'
import { sql } from '../../src/pg/db.ts'
import { column, type Person, rows, startCore, type TestCore } from './start-core.ts'

const path = '/core/applications/'

async function create(core: TestCore, slug: string, more: Record<string, unknown> = {}): Promise<string> {
  const made = await core.admin.ask('POST', path, { name: slug, slug, ...more })
  assert.equal(made.status, 201, JSON.stringify(made.body))
  return made.body.pk as string
}

async function proxy(core: TestCore, name: string): Promise<number> {
  return (await core.admin.ask('POST', '/providers/proxy/', core.proxy(name))).body.pk as number
}

async function bind(core: TestCore, target: string, more: Record<string, unknown>): Promise<string> {
  const made = await core.admin.ask('POST', '/policies/bindings/', { target, order: 0, ...more })
  assert.equal(made.status, 201, JSON.stringify(made.body))
  return made.body.pk as string
}

const slugs = async (person: Person, query = '') => column(await person.ask('GET', `${path}${query}`), 'slug')

test('everybody lists what he may open, an administrator too, and everything only when he asks', async t => {
  const core = await startCore(t)
  const alice = await core.person('alice')
  const staff = await core.admin.ask('POST', '/core/groups/', { name: 'staff', users: [alice.id] })
  await create(core, 'open')
  await bind(core, await create(core, 'for-alice'), { user: alice.id })
  await bind(core, await create(core, 'for-staff'), { group: staff.body.pk })
  await bind(core, await create(core, 'not-alice'), { user: alice.id, negate: true })
  const expired = await bind(core, await create(core, 'expired'), { user: alice.id })
  await core.admin.ask('PATCH', `/policies/bindings/${expired}/`, { expires: '2020-01-01T00:00:00Z' })
  assert.deepEqual(await slugs(alice), ['for-alice', 'for-staff', 'open'])
  assert.deepEqual(await slugs(core.admin), ['not-alice', 'open'])
  assert.equal((await slugs(core.admin, '?superuser_full_list=true')).length, 5)
  assert.deepEqual(await slugs(alice, '?superuser_full_list=true'), [])
  assert.deepEqual(await slugs(core.admin, `?for_user=${alice.id}`), ['for-alice', 'for-staff', 'open'])
  assert.deepEqual(await slugs(alice, `?for_user=${core.admin.id}`), [])
  assert.deepEqual(await slugs(alice, '?search=STAFF'), ['for-staff'])
  const helpdesk = await core.person('helpdesk', ['authentik_core.view_user'])
  assert.deepEqual(await slugs(helpdesk, `?for_user=${alice.id}`), [])
  const auditor = await core.person('auditor', ['authentik_core.view_application'])
  assert.equal((await slugs(auditor, '?superuser_full_list=true')).length, 5)
  assert.deepEqual(await slugs(auditor, `?for_user=${alice.id}`), [])
})

test('the library costs one statement, however many applications and bindings there are', async t => {
  const core = await startCore(t)
  const alice = await core.person('alice')
  const add = async (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      const target = await create(core, `app-${i}`, { provider: await proxy(core, `app-${i}`) })
      await bind(core, target, { user: alice.id })
      await bind(core, target, { user: core.admin.id, order: 1 })
    }
  }
  const statements = async (person: Person, query: string) => {
    const texts = await core.database.countStatements(() => person.ask('GET', `${path}${query}`))
    return texts.filter(text => !text.includes('last_used_at = now()')).length
  }
  await alice.ask('GET', path)
  await core.admin.ask('GET', path)
  await add(0, 1)
  const query = '?only_with_launch_url=true&page_size=100'
  assert.equal(await statements(alice, query), 2)
  await add(1, 12)
  assert.equal(await statements(alice, query), 2)
  assert.equal((await slugs(alice, query)).length, 12)
  assert.equal(await statements(core.admin, '?superuser_full_list=true'), 2)
  assert.equal(await statements(core.admin, `?for_user=${alice.id}`), 2)
})

test('an application an ordinary user may open shows him nothing of its provider but its address', async t => {
  const core = await startCore(t)
  const alice = await core.person('alice')
  await create(core, 'wiki', { provider: await proxy(core, 'wiki') })
  const [row] = rows(await alice.ask('GET', path))
  assert.equal(row?.launch_url, 'https://wiki.example.com/')
  assert.equal(row?.provider_obj, null)
  const retrieved = await alice.ask('GET', `${path}wiki/`)
  assert.equal(retrieved.status, 200)
  assert.equal(retrieved.body.provider_obj, null)
  const closed = await create(core, 'closed')
  await bind(core, closed, { user: core.admin.id })
  assert.equal((await alice.ask('GET', `${path}closed/`)).status, 404)
  assert.equal((await alice.ask('GET', `${path}closed/check_access/`)).status, 404)
  assert.equal((await alice.ask('GET', `${path}closed/used_by/`)).status, 404)
})

test('where an application opens: its own address with placeholders, its proxy, its client, or nowhere', async t => {
  const core = await startCore(t)
  const oauth2 = await core.admin.ask('POST', '/providers/oauth2/', core.oauth2('grafana'))
  await create(core, 'own', { meta_launch_url: 'https://mail.example.com/?u=%(email)s' })
  await create(core, 'proxied', { provider: await proxy(core, 'proxied') })
  await create(core, 'client', { provider: oauth2.body.pk })
  await create(core, 'blank', { meta_launch_url: 'blank://blank' })
  await create(core, 'hidden', { meta_launch_url: 'https://hidden.example.com', meta_hide: true })
  await create(core, 'bare')
  const launch = Object.fromEntries(
    rows(await core.admin.ask('GET', path)).map(row => [row.slug, row.launch_url]),
  )
  assert.deepEqual(launch, {
    own: 'https://mail.example.com/?u=akadmin%40example.com',
    proxied: 'https://proxied.example.com/',
    client: 'https://grafana.example.com/',
    blank: null,
    hidden: 'https://hidden.example.com/',
    bare: null,
  })
  assert.deepEqual(await slugs(core.admin, '?only_with_launch_url=true'), ['client', 'own', 'proxied'])
})

test('bodies that cannot be are refused on their field', async t => {
  const core = await startCore(t)
  const provider = await proxy(core, 'wiki')
  await create(core, 'taken', { provider })
  for (const [field, more] of [
    ['slug', { slug: 'taken' }],
    ['slug', { slug: 'with space' }],
    ['slug', { slug: 'a/b' }],
    ['slug', { slug: 'token' }],
    ['slug', { slug: 'Authorize' }],
    ['name', { name: '' }],
    ['provider', { provider }],
    ['provider', { provider: 4711 }],
    ['backchannel_providers', { backchannel_providers: [provider] }],
    ['meta_launch_url', { meta_launch_url: 'JavaScript:alert(1)' }],
    ['meta_launch_url', { meta_launch_url: '//evil.example' }],
    ['meta_launch_url', { meta_launch_url: 'not an address' }],
    ['meta_icon', { meta_icon: 'javascript:alert(1)' }],
    ['policy_engine_mode', { policy_engine_mode: 'some' }],
  ] as const) {
    const answer = await core.admin.ask('POST', path, { name: 'x', slug: 'x', ...more })
    assert.equal(answer.status, 400, `${JSON.stringify(more)}: ${JSON.stringify(answer.body)}`)
    assert.deepEqual(Object.keys(answer.body), [field, 'code'], JSON.stringify(answer.body))
  }
  for (const slug of ['%00', 'no-such-application', '..%2f..'])
    assert.ok([400, 404].includes((await core.admin.ask('GET', `${path}${slug}/`)).status), slug)
})

test('outposts hear of a new, renamed, moved and deleted application, and of nothing else', async t => {
  const core = await startCore(t)
  const first = await proxy(core, 'first')
  const second = await proxy(core, 'second')
  const ofFirst = await core.outpost('First', [first])
  const ofSecond = await core.outpost('Second', [second])
  let last = [await core.revision(ofFirst), await core.revision(ofSecond)]
  const raised = async () => {
    const now = [await core.revision(ofFirst), await core.revision(ofSecond)]
    const by = now.map((revision, index) => revision - last[index]!)
    last = now
    return by
  }
  await create(core, 'wiki', { provider: first })
  assert.deepEqual(await raised(), [1, 0])
  await core.admin.ask('PATCH', `${path}wiki/`, { meta_description: 'Knows everything' })
  assert.deepEqual(await raised(), [0, 0])
  await core.admin.ask('PATCH', `${path}wiki/`, { slug: 'wiki2' })
  assert.deepEqual(await raised(), [1, 0])
  await core.admin.ask('PATCH', `${path}wiki2/`, { provider: second })
  assert.deepEqual(await raised(), [1, 1])
  await core.admin.ask('DELETE', `${path}wiki2/`)
  assert.deepEqual(await raised(), [0, 1])
})

test('an application that loses its provider leaves neither bindings nor sessions behind', async t => {
  const core = await startCore(t)
  const { db } = core.database
  const provider = await proxy(core, 'wiki')
  const { client_id: clientId } = (await core.admin.ask('GET', `/providers/proxy/${provider}/`)).body
  const addSession = () =>
    db.count(sql`
      insert into ${db.t('proxy_sessions')} (key_hash, client_id, user_hash, sealed, created_at, expires_at)
      values (${sha256('key')}, ${clientId}, ${sha256('user')}, ${sha256('sealed')}, now(), now() + interval '1 hour')`)
  const sessions = async () => (await db.rows(sql`select 1 from ${db.t('proxy_sessions')}`)).length
  const target = await create(core, 'wiki', { provider })
  await bind(core, target, { user: core.admin.id })
  await addSession()
  await core.admin.ask('PATCH', `${path}wiki/`, { name: 'Wiki', provider })
  assert.equal(await sessions(), 1)
  await core.admin.ask('PATCH', `${path}wiki/`, { provider: null })
  assert.equal(await sessions(), 0)
  await core.admin.ask('PATCH', `${path}wiki/`, { provider })
  await addSession()
  assert.equal((await core.admin.ask('DELETE', `${path}wiki/`)).status, 204)
  assert.equal(await sessions(), 0)
  assert.equal((await db.rows(sql`select 1 from ${db.t('policy_bindings')}`)).length, 0)
  // The next application of this provider is judged by its own bindings only.
  await create(core, 'next', { provider })
  assert.equal((await core.admin.ask('GET', `${path}next/check_access/`)).body.passing, true)
})

test('writing applications needs their permissions, and view on what they name', async t => {
  const core = await startCore(t)
  const provider = await proxy(core, 'wiki')
  const wiki = await create(core, 'wiki')
  await create(core, 'other')
  const editor = await core.person('editor', [
    'authentik_core.view_application',
    `authentik_core.change_application@${wiki}`,
  ])
  assert.equal((await editor.ask('POST', path, { name: 'x', slug: 'x' })).status, 403)
  assert.equal((await editor.ask('PATCH', `${path}other/`, { name: 'x' })).status, 403)
  assert.equal((await editor.ask('DELETE', `${path}wiki/`)).status, 403)
  assert.equal((await editor.ask('PATCH', `${path}wiki/`, { name: 'Wiki' })).status, 200)
  const invisible = await editor.ask('PATCH', `${path}wiki/`, { provider })
  assert.deepEqual(invisible.body, {
    provider: [`Invalid pk "${provider}" - object does not exist.`],
    code: 'invalid',
  })
  assert.equal((await core.admin.ask('PATCH', `${path}wiki/`, { provider })).status, 200)
  const seen = await editor.ask('PATCH', `${path}wiki/`, { name: 'Wiki 2', provider })
  assert.equal(seen.status, 200)
  assert.equal(seen.body.provider_obj, null)
})

test('whether somebody else may open an application is told to who may view both (CVE-2024-42490)', async t => {
  const core = await startCore(t)
  const alice = await core.person('alice')
  const bob = await core.person('bob')
  const wiki = await create(core, 'wiki')
  const check = (person: Person, user: Person) =>
    person.ask('GET', `${path}wiki/check_access/?for_user=${user.id}`)
  assert.deepEqual((await check(core.admin, bob)).body, { passing: true, messages: [], log_messages: [] })
  assert.equal((await check(alice, alice)).status, 200)
  assert.equal((await check(alice, bob)).status, 403)
  const viewer = await core.person('viewer', ['authentik_core.view_application'])
  assert.equal((await check(viewer, bob)).status, 400)
  const both = await core.person('both', [
    'authentik_core.view_application',
    `authentik_core.view_user@${bob.id}`,
  ])
  await bind(core, wiki, { user: alice.id })
  assert.equal((await check(both, bob)).body.passing, false)
  assert.equal((await check(both, alice)).status, 400)
  await bind(core, wiki, { user: bob.id, order: 1 })
  assert.equal((await check(both, bob)).body.passing, true)
  await core.database.db.count(
    sql`update ${core.database.db.t('users')} set is_active = false where id = ${bob.id}`,
  )
  assert.equal((await check(both, bob)).body.passing, false)
})
