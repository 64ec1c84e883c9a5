import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import type { Answer } from '../core/ask.ts'
import { startCore } from './start-core.ts'

const manageGroups = [
  'authentik_core.view_group',
  'authentik_core.add_group',
  'authentik_core.change_group',
  'authentik_core.delete_group',
  'authentik_core.add_user_to_group',
  'authentik_core.remove_user_from_group',
  'authentik_core.view_user',
]
const manageUsers = [
  'authentik_core.view_user',
  'authentik_core.add_user',
  'authentik_core.change_user',
  'authentik_core.delete_user',
  'authentik_core.reset_user_password',
]
const manageRoles = [
  'authentik_rbac.view_role',
  'authentik_rbac.add_role',
  'authentik_rbac.change_role',
  'authentik_rbac.delete_role',
  'authentik_rbac.assign_role_permissions',
]
const pk = (answer: Answer) => (answer.body as { pk: string }).pk

function refused(answer: Answer, what: string): void {
  assert.equal(answer.status, 403, `${what}: ${JSON.stringify(answer.body)}`)
}
function done(answer: Answer, what = ''): void {
  assert.ok(
    answer.status >= 200 && answer.status < 300,
    `${what} ${answer.status} ${JSON.stringify(answer.body)}`,
  )
}

test('GHSA-h6c5-mpvq-j4jc: a delegated group administrator cannot make himself a superuser through any ancestor', async t => {
  const core = await startCore(t)
  const { admin, superusers } = core
  const eve = await core.person('eve', [...manageGroups, ...manageUsers])
  const middle = pk(await admin.ask('POST', '/core/groups/', { name: 'middle', parents: [superusers] }))
  const low = pk(await admin.ask('POST', '/core/groups/', { name: 'low', parents: [middle] }))
  const plain = pk(await admin.ask('POST', '/core/groups/', { name: 'plain' }))
  for (const group of [superusers, middle, low]) {
    refused(await eve.ask('POST', `/core/groups/${group}/add_user/`, { pk: eve.id }), 'add_user')
    refused(
      await eve.ask('PATCH', `/core/groups/${group}/`, { users: [eve.id, core.admin.id] }),
      'group.users',
    )
    refused(await eve.ask('PATCH', `/core/users/${eve.id}/`, { groups: [group] }), 'user.groups')
    refused(await eve.ask('PATCH', `/core/groups/${plain}/`, { parents: [group] }), 'group.parents')
    refused(await eve.ask('POST', '/core/groups/', { name: 'new', parents: [group] }), 'new group')
    refused(
      await eve.ask('POST', '/core/users/', { username: 'eve2', name: '', groups: [group] }),
      'new user',
    )
    refused(await eve.ask('DELETE', `/core/groups/${group}/`), 'delete')
  }
  refused(await eve.ask('PATCH', `/core/groups/${plain}/`, { is_superuser: true }), 'is_superuser')
  refused(await eve.ask('POST', '/core/groups/', { name: 'mine', is_superuser: true }), 'new superuser group')
  refused(await eve.ask('PATCH', `/core/groups/${superusers}/`, { is_superuser: false }), 'disable superuser')
  refused(await eve.ask('POST', `/core/groups/${superusers}/remove_user/`, { pk: core.admin.id }), 'remove')
  done(await eve.ask('POST', `/core/groups/${plain}/add_user/`, { pk: eve.id }))
  done(await eve.ask('PATCH', `/core/users/${eve.id}/`, { groups: [] }))
  const me = await eve.ask('GET', '/core/users/me/')
  assert.equal((me.body as { user: { is_superuser: boolean } }).user.is_superuser, false)
})

test('nobody gives a role, or permissions to a role, that he does not hold, neither directly nor by a group', async t => {
  const core = await startCore(t)
  const { admin } = core
  const eve = await core.person('eve', [...manageGroups, ...manageUsers, ...manageRoles])
  const strong = pk(await admin.ask('POST', '/rbac/roles/', { name: 'strong' }))
  done(
    await admin.ask('POST', `/rbac/permissions/assigned_by_roles/${strong}/assign/`, {
      permissions: ['authentik_core.view_token_key'],
    }),
  )
  const weak = pk(await admin.ask('POST', '/rbac/roles/', { name: 'weak' }))
  const group = pk(await eve.ask('POST', '/core/groups/', { name: 'of eve' }))
  const strongGroup = pk(await admin.ask('POST', '/core/groups/', { name: 'strong', roles: [strong] }))
  refused(await eve.ask('POST', `/rbac/roles/${strong}/add_user/`, { pk: eve.id }), 'role.add_user')
  refused(await eve.ask('PATCH', `/core/users/${eve.id}/`, { roles: [strong] }), 'user.roles')
  refused(await eve.ask('PATCH', `/core/groups/${group}/`, { roles: [strong] }), 'group.roles')
  refused(await eve.ask('PATCH', `/core/groups/${group}/`, { parents: [strongGroup] }), 'group.parents')
  refused(await eve.ask('POST', `/core/groups/${strongGroup}/add_user/`, { pk: eve.id }), 'group.add_user')
  refused(await eve.ask('DELETE', `/rbac/roles/${strong}/`), 'delete')
  const assign = `/rbac/permissions/assigned_by_roles/${weak}/assign/`
  refused(await eve.ask('POST', assign, { permissions: ['authentik_core.view_token_key'] }), 'assign')
  refused(
    await eve.ask('POST', assign, { permissions: ['authentik_core.change_brand'], object_pk: 'x' }),
    'assign on an object',
  )
  done(await eve.ask('POST', assign, { permissions: ['authentik_core.view_user'] }))
  done(await eve.ask('PATCH', `/core/users/${eve.id}/`, { roles: [eve.role, weak] }))
  assert.equal((await admin.ask('POST', assign, { permissions: ['authentik_core.fly'] })).status, 400)
})

test('a permission on one object can be handed on for that object and for no other', async t => {
  const core = await startCore(t)
  const one = pk(await core.admin.ask('POST', '/core/groups/', { name: 'one' }))
  const two = pk(await core.admin.ask('POST', '/core/groups/', { name: 'two' }))
  const eve = await core.person('eve', [...manageRoles, `authentik_core.view_group@${one}`])
  const role = pk(await eve.ask('POST', '/rbac/roles/', { name: 'mine' }))
  const assign = `/rbac/permissions/assigned_by_roles/${role}/assign/`
  const permissions = ['authentik_core.view_group']
  done(await eve.ask('POST', assign, { permissions, object_pk: one }))
  refused(await eve.ask('POST', assign, { permissions, object_pk: two }), 'another object')
  refused(await eve.ask('POST', assign, { permissions }), 'every object')
  const seen = (await eve.ask('GET', '/core/groups/')).body as { results: { pk: string }[] }
  assert.deepEqual(
    seen.results.map(group => group.pk),
    [one],
  )
  assert.equal((await eve.ask('GET', `/core/groups/${two}/`)).status, 404)
  refused(await eve.ask('PATCH', `/core/groups/${one}/`, { name: 'x' }), 'view is not change')
})

test('change on users does not reach the password, tokens, address or sessions of somebody with more privileges', async t => {
  const core = await startCore(t)
  const { admin } = core
  const eve = await core.person('eve', [
    ...manageUsers,
    'authentik_core.view_token',
    'authentik_core.change_token',
    'authentik_core.delete_token',
    'authentik_core.view_token_key',
    'authentik_core.set_token_key',
    'authentik_core.set_token_user',
    'authentik_core.view_authenticatedsession',
    'authentik_core.delete_authenticatedsession',
  ])
  const session = await core.browser(admin.id)
  const token = `/core/tokens/key-of-${admin.id}/`
  refused(
    await eve.ask('POST', `/core/users/${admin.id}/set_password/`, { password: 'mine now' }),
    'password',
  )
  refused(await eve.ask('PATCH', `/core/users/${admin.id}/`, { email: 'eve@example.org' }), 'address')
  refused(await eve.ask('PATCH', `/core/users/${admin.id}/`, { is_active: false }), 'deactivate')
  refused(await eve.ask('DELETE', `/core/users/${admin.id}/`), 'delete')
  refused(await eve.ask('GET', `${token}view_key/`), 'view_key')
  refused(
    await eve.ask('POST', `${token}set_key/`, { key: 'a key that eve knows'.replaceAll(' ', '-') }),
    'set_key',
  )
  refused(await eve.ask('PATCH', token, { description: 'x' }), 'token')
  refused(await eve.ask('DELETE', token), 'delete token')
  refused(await eve.ask('POST', '/core/tokens/', { identifier: 'x', user: admin.id }), 'token for another')
  refused(await eve.ask('DELETE', `/core/authenticated_sessions/${session.id}/`), 'session')
  refused(
    await eve.ask('DELETE', `/core/authenticated_sessions/bulk_delete/?user_pks=${admin.id}`),
    'sessions',
  )
  assert.equal((await admin.ask('GET', '/core/users/me/')).status, 200)
  const bob = await core.person('bob')
  done(await eve.ask('POST', `/core/users/${bob.id}/set_password/`, { password: 'a new one' }))
  done(await eve.ask('GET', `/core/tokens/key-of-${bob.id}/view_key/`))
})

test('CVE-2026-40166, GHSA-m9h4-7j9c-55x9: view returns no secret: no key, password or private key is in any body or event', async t => {
  const core = await startCore(t)
  const { admin } = core
  const password = 'correct horse battery staple'
  done(await admin.ask('POST', `/core/users/${admin.id}/set_password/`, { password }))
  const pair = await admin.ask('POST', '/crypto/certificatekeypairs/generate/', {
    common_name: 'a.test',
    validity_days: 1,
    alg: 'ecdsa',
  })
  const path = `/crypto/certificatekeypairs/${pk(pair)}/view_private_key/`
  const key = ((await admin.ask('GET', path)).body as { data: string }).data
  const secret = key.split('\n')[1]!
  const eve = await core.person('eve', [
    'authentik_crypto.view_certificatekeypair',
    'authentik_core.view_token',
  ])
  refused(await eve.ask('GET', path), 'view on the pair is not view on its key')
  refused(await eve.ask('GET', path.replace('private_key', 'certificate')), 'nor on its certificate')
  refused(await eve.ask('GET', `/core/tokens/key-of-${admin.id}/view_key/`), 'nor of a token')
  const stored = await core.database.db.rows<{ text: string }>(sql`
    select row_to_json(e)::text as text from ${core.database.db.t('events')} e`)
  const bodies: string[] = stored.map(row => row.text)
  for (const list of ['users', 'tokens', 'groups', 'brands', 'authenticated_sessions'])
    bodies.push(JSON.stringify((await admin.ask('GET', `/core/${list}/`)).body))
  bodies.push(JSON.stringify((await admin.ask('GET', '/crypto/certificatekeypairs/')).body))
  assert.ok(stored.length >= 3)
  for (const text of bodies) {
    assert.ok(!text.includes(secret) && !text.includes(admin.key) && !text.includes(password), text)
    assert.ok(!text.includes('argon2'), text)
  }
})

test('a key in a body needs view on what it refers to', async t => {
  const core = await startCore(t)
  const { admin } = core
  const hidden = pk(await admin.ask('POST', '/core/groups/', { name: 'hidden' }))
  const pair = pk(
    await admin.ask('POST', '/crypto/certificatekeypairs/generate/', {
      common_name: 'a.test',
      validity_days: 1,
      alg: 'ecdsa',
    }),
  )
  const eve = await core.person('eve', [
    'authentik_core.add_user',
    'authentik_core.view_user',
    'authentik_core.add_group',
    'authentik_core.view_group@none',
    'authentik_core.add_user_to_group',
    'authentik_core.add_brand',
    'authentik_core.view_brand',
  ])
  for (const [path, body, field] of [
    ['/core/users/', { username: 'x', name: '', groups: [hidden] }, 'groups'],
    ['/core/groups/', { name: 'x', parents: [hidden] }, 'parents'],
    ['/core/brands/', { domain: 'x.test', web_certificate: pair }, 'web_certificate'],
    ['/core/brands/', { domain: 'x.test', client_certificates: [pair] }, 'client_certificates'],
  ] as const) {
    const answer = await eve.ask('POST', path, body)
    assert.equal(answer.status, 400, field)
    assert.ok(field in (answer.body as object), JSON.stringify(answer.body))
  }
})

test("only a superuser writes a brand's style sheet, and none may break out of its element", async t => {
  const core = await startCore(t)
  const eve = await core.person('eve', [
    'authentik_core.view_brand',
    'authentik_core.add_brand',
    'authentik_core.change_brand',
  ])
  const brand = (await eve.ask('POST', '/core/brands/', { domain: 'a.test' })).body as { brand_uuid: string }
  const path = `/core/brands/${brand.brand_uuid}/`
  refused(await eve.ask('PATCH', path, { branding_custom_css: 'body { color: red }' }), 'css')
  done(await eve.ask('PATCH', path, { branding_title: 'A', branding_custom_css: '' }))
  done(await core.admin.ask('PATCH', path, { branding_custom_css: 'body { color: red }' }))
  const out = await core.admin.ask('PATCH', path, { branding_custom_css: '</STYLE ><script>' })
  assert.equal(out.status, 400)
  for (const logo of [
    'javascript:alert(1)',
    ' JaVaScRiPt:alert(1)',
    'java\tscript:alert(1)',
    'data:text/html,x',
  ])
    assert.equal((await core.admin.ask('PATCH', path, { branding_logo: logo })).status, 400, logo)
  done(await core.admin.ask('PATCH', path, { branding_logo: '/static/logo.svg' }))
})

test('a group cannot become its own ancestor, and the closure follows every change of the graph', async t => {
  const core = await startCore(t)
  const { admin } = core
  const group = async (name: string, parents: string[] = []) =>
    pk(await admin.ask('POST', '/core/groups/', { name, parents }))
  const top = await group('top')
  const left = await group('left', [top])
  const right = await group('right', [top])
  const leaf = await group('leaf', [left, right])
  const ancestors = async (id: string) =>
    (
      await core.database.db.rows<{ name: string }>(sql`
        select g.name from ${core.database.db.t('group_closure')} c
        join ${core.database.db.t('groups')} g on g.id = c.ancestor_id where c.group_id = ${id} order by g.name`)
    ).map(row => row.name)
  assert.deepEqual(await ancestors(leaf), ['leaf', 'left', 'right', 'top'])
  for (const parent of [top, left, leaf]) {
    const answer = await admin.ask('PATCH', `/core/groups/${top}/`, { parents: [parent] })
    assert.equal(answer.status, 400)
    assert.ok('parents' in (answer.body as object))
  }
  done(await admin.ask('PATCH', `/core/groups/${left}/`, { parents: [] }))
  assert.deepEqual(await ancestors(leaf), ['leaf', 'left', 'right', 'top'])
  done(await admin.ask('DELETE', `/core/groups/${right}/`))
  assert.deepEqual(await ancestors(leaf), ['leaf', 'left'])
  const results = await Promise.all([
    admin.ask('PATCH', `/core/groups/${top}/`, { parents: [leaf] }),
    admin.ask('PATCH', `/core/groups/${leaf}/`, { parents: [top] }),
  ])
  assert.deepEqual(
    results.map(answer => answer.status).sort(),
    [200, 400],
    'two changes together build no cycle',
  )
})
