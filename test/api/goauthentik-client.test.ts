import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IntentEnum } from '@goauthentik/api'
import { clientOf, statusOf } from './goauthentik-client.ts'
import { startCore } from './start-core.ts'

test('users: the official client lists, creates, changes, finds and deletes them', async t => {
  const client = clientOf(await startCore(t))
  const group = await client.core.coreGroupsCreate({ groupRequest: { name: 'staff' } })
  const role = await client.rbac.rbacRolesCreate({ roleRequest: { name: 'reader' } })
  const made = await client.core.coreUsersCreate({
    userRequest: {
      username: 'alice',
      name: 'Alice Adams',
      email: 'alice@example.org',
      path: 'people/staff',
      groups: [group.pk],
      roles: [role.pk],
      attributes: { upn: 'alice@ad' },
    },
  })
  assert.equal(made.username, 'alice')
  assert.deepEqual(made.groups, [group.pk])
  assert.equal(made.groupsObj?.[0]?.name, 'staff')
  assert.equal(made.rolesObj?.[0]?.name, 'reader')
  assert.ok(made.dateJoined instanceof Date)

  for (const filter of [
    { search: 'ADAMS' },
    { username: 'alice' },
    { email: 'Alice@Example.org' },
    { path: 'people/staff' },
    { pathStartswith: 'people' },
    { groupsByPk: [group.pk] },
    { groupsByName: ['staff'] },
    { rolesByName: ['reader'] },
    { rolesByPk: [role.pk] },
    { uuid: made.uuid },
    { attributes: '{"upn":"alice@ad"}' },
    { isSuperuser: false, isActive: true },
    { type: ['internal'], isSuperuser: false },
    { lastLoginIsnull: true, isSuperuser: false },
    { dateJoinedGt: new Date(0), isSuperuser: false },
    { includeGroups: false, includeRoles: false, username: 'alice' },
  ] as Parameters<typeof client.core.coreUsersList>[0][]) {
    const found = await client.core.coreUsersList(filter)
    assert.deepEqual(
      found.results.map(user => user.pk),
      [made.pk],
      JSON.stringify(filter),
    )
    assert.equal(found.pagination.count, 1)
  }
  const nobody = await client.core.coreUsersList({ search: '%' })
  assert.equal(nobody.pagination.count, 0)
  const page = await client.core.coreUsersList({ pageSize: 1, page: 2, ordering: '-username' })
  assert.deepEqual(
    page.results.map(user => user.username),
    ['akadmin'],
  )
  assert.equal(page.pagination.previous, 1)

  const changed = await client.core.coreUsersPartialUpdate({
    id: made.pk,
    patchedUserRequest: { groups: [], email: '' },
  })
  assert.deepEqual(changed.groups, [])
  assert.deepEqual(changed.roles, [role.pk])
  const replaced = await client.core.coreUsersUpdate({
    id: made.pk,
    userRequest: { username: 'alice2', name: 'A' },
  })
  assert.equal(replaced.username, 'alice2')
  assert.deepEqual(await client.core.coreUsersUsedByList({ id: made.pk }), [])
  await client.core.coreUsersSetPasswordCreate({
    id: made.pk,
    userPasswordSetRequest: { password: 'long enough' },
  })
  assert.deepEqual((await client.core.coreUsersPathsRetrieve({ search: 'people' })).paths, ['people/staff'])
  await client.core.coreUsersDestroy({ id: made.pk })
  assert.equal(await statusOf(client.core.coreUsersRetrieve({ id: made.pk })), 404)
})

test('users: me, and service accounts with their token', async t => {
  const core = await startCore(t)
  const client = clientOf(core)
  const me = await client.core.coreUsersMeRetrieve()
  assert.equal(me.user.username, 'akadmin')
  assert.equal(me.user.isSuperuser, true)
  assert.ok(me.user.systemPermissions.includes('access_admin_interface'))
  const robot = await client.core.coreUsersServiceAccountCreate({
    userServiceAccountRequest: { name: 'robot', createGroup: true },
  })
  assert.ok(robot.token.length >= 40)
  const user = await client.core.coreUsersRetrieve({ id: robot.userPk })
  assert.equal(user.type, 'service_account')
  assert.deepEqual(user.groups, [robot.groupPk])
  const [token] = (await client.core.coreTokensList({ userUsername: 'robot' })).results
  assert.equal(token?.intent, 'app_password')
  assert.ok(token?.expires !== null && token?.expires !== undefined)
})

test('groups and roles: members, parents, children and inherited roles', async t => {
  const core = await startCore(t)
  const client = clientOf(core)
  const bob = await core.person('bob')
  const role = await client.rbac.rbacRolesCreate({ roleRequest: { name: 'auditor' } })
  const parent = await client.core.coreGroupsCreate({ groupRequest: { name: 'parent', roles: [role.pk] } })
  const child = await client.core.coreGroupsCreate({ groupRequest: { name: 'child', parents: [parent.pk] } })
  await client.core.coreGroupsAddUserCreate({ groupUuid: child.pk, userAccountRequest: { pk: bob.id } })
  const full = await client.core.coreGroupsRetrieve({
    groupUuid: child.pk,
    includeUsers: true,
    includeParents: true,
    includeChildren: true,
    includeInheritedRoles: true,
  })
  assert.deepEqual(full.users, [bob.id])
  assert.equal(full.usersObj?.[0]?.username, 'bob')
  assert.equal(full.parentsObj?.[0]?.name, 'parent')
  assert.equal(full.inheritedRolesObj?.[0]?.name, 'auditor')
  assert.deepEqual((await client.core.coreGroupsRetrieve({ groupUuid: parent.pk })).children, [child.pk])
  for (const filter of [
    { membersByPk: [bob.id] },
    { membersByUsername: ['bob'] },
    { name: 'child' },
    { search: 'HIL' },
  ])
    assert.deepEqual(
      (await client.core.coreGroupsList(filter)).results.map(group => group.pk),
      [child.pk],
    )
  assert.deepEqual((await client.rbac.rbacRolesList({ users: bob.id, inherited: true })).results.length, 2)
  await client.core.coreGroupsRemoveUserCreate({ groupUuid: child.pk, userAccountRequest: { pk: bob.id } })
  const renamed = await client.core.coreGroupsPartialUpdate({
    groupUuid: child.pk,
    patchedGroupRequest: { name: 'offspring', parents: [] },
  })
  assert.deepEqual([renamed.name, renamed.parents, renamed.users], ['offspring', [], []])
  await client.core.coreGroupsUpdate({ groupUuid: child.pk, groupRequest: { name: 'child' } })
  await client.core.coreGroupsDestroy({ groupUuid: child.pk })

  await client.rbac.rbacRolesAddUserCreate({
    uuid: role.pk,
    userAccountSerializerForRoleRequest: { pk: bob.id },
  })
  await client.rbac.rbacPermissionsAssignedByRolesAssign({
    uuid: role.pk,
    permissionAssignRequest: { permissions: ['authentik_events.view_event'] },
  })
  const granted = await client.rbac.rbacPermissionsList({ role: role.pk })
  assert.deepEqual(
    granted.results.map(permission => permission.codename),
    ['view_event'],
  )
  assert.equal((await bob.ask('GET', '/events/events/')).status, 200)
  await client.rbac.rbacPermissionsAssignedByRolesUnassignPartialUpdate({
    uuid: role.pk,
    patchedPermissionAssignRequest: { permissions: ['authentik_events.view_event'] },
  })
  await client.rbac.rbacRolesRemoveUserCreate({
    uuid: role.pk,
    userAccountSerializerForRoleRequest: { pk: bob.id },
  })
  await client.rbac.rbacRolesPartialUpdate({ uuid: role.pk, patchedRoleRequest: { name: 'reviewer' } })
  await client.rbac.rbacRolesDestroy({ uuid: role.pk })
  const all = await client.rbac.rbacPermissionsList({ pageSize: 100, search: 'view_' })
  assert.ok(all.results.some(permission => permission.codename === 'view_brand'))
})

test('tokens: the key is in no body, and view_key and set_key work', async t => {
  const core = await startCore(t)
  const client = clientOf(core)
  const token = await client.core.coreTokensCreate({
    tokenRequest: { identifier: 'mine', intent: IntentEnum.Api, description: 'for a test' },
  })
  assert.equal(token.userObj?.username, 'akadmin')
  assert.ok(!JSON.stringify(token).includes('key'))
  const { key } = await client.core.coreTokensViewKeyRetrieve({ identifier: 'mine' })
  assert.equal((await clientOf(core, key).core.coreUsersMeRetrieve()).user.username, 'akadmin')
  const chosen = 'a-key-of-my-own-choosing-0123456789'
  await client.core.coreTokensSetKeyCreate({ identifier: 'mine', tokenSetKeyRequest: { key: chosen } })
  assert.equal(await statusOf(clientOf(core, key).core.coreUsersMeRetrieve()), 403)
  assert.equal(await statusOf(clientOf(core, chosen).core.coreUsersMeRetrieve()), 200)
  const views = await client.events.eventsEventsList({ actions: ['secret_view', 'secret_rotate'] as never })
  assert.deepEqual(
    views.results.map(event => event.action),
    ['secret_rotate', 'secret_view'],
  )
  const changed = await client.core.coreTokensPartialUpdate({
    identifier: 'mine',
    patchedTokenRequest: { identifier: 'yours', expiring: false },
  })
  assert.deepEqual([changed.identifier, changed.expires, changed.expiring], ['yours', undefined, false])
  await client.core.coreTokensUsedByList({ identifier: 'yours' })
  await client.core.coreTokensDestroy({ identifier: 'yours' })
  assert.equal(await statusOf(client.core.coreTokensRetrieve({ identifier: 'yours' })), 404)
})
