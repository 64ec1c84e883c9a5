// `/rbac/permissions/`: what can be granted, from the list in permissions.ts.
import Type from 'typebox'
import { principalOf } from '../access.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { invalid, notFound } from '../errors.ts'
import { pageBody, pageOf, pageWindow } from './page.ts'
import { appLabel, modelLabel, type PermissionEntry, permissions } from './permissions.ts'
import { findRow } from './resource.sql.ts'
import { permissionsOfRole, roleTable } from './roles.sql.ts'
import { errorResponses, IntegerKey, listQuery, Uuid } from './shapes.ts'
import { visibleRow } from './visible.sql.ts'

const Permission = Type.Object({
  id: Type.Integer(),
  name: Type.String(),
  codename: Type.String(),
  model: Type.String(),
  app_label: Type.String(),
  app_label_verbose: Type.String(),
  model_verbose: Type.String(),
})

/** The fields a list may be ordered by. */
const fields = ['name', 'codename'] as const

export function registerPermissionRoutes(app: CoreApp, core: Core): void {
  app.get(
    '/api/v3/rbac/permissions/',
    {
      config: { access: 'authenticated' },
      schema: {
        operationId: 'rbac_permissions_list',
        tags: ['rbac'],
        querystring: listQuery({
          codename: Type.Optional(Type.String()),
          content_type__app_label: Type.Optional(Type.String()),
          content_type__model: Type.Optional(Type.String()),
          role: Type.Optional(Uuid),
        }),
        response: { 200: pageOf(Permission), ...errorResponses },
      },
    },
    async request => {
      const query = request.query
      const ofRole = query.role === undefined ? undefined : await rolePermissions(query.role)
      const search = query.search?.toLowerCase() ?? ''
      const found = permissions.filter(
        entry =>
          (query.codename ?? entry.codename) === entry.codename &&
          (query.content_type__app_label ?? entry.app) === entry.app &&
          (query.content_type__model ?? entry.model) === entry.model &&
          (ofRole?.has(`${entry.app}.${entry.codename}`) ?? true) &&
          `${entry.app}.${entry.codename} ${entry.name}`.toLowerCase().includes(search),
      )
      const { limit, offset } = pageWindow(query)
      const page = ordered(found, query.ordering).slice(offset, offset + limit)
      return pageBody(query, found.length, page.map(permissionBody))

      async function rolePermissions(role: string): Promise<Set<string>> {
        const row = await findRow(core.db, roleTable(core.db), {
          key: role,
          visible: visibleRow(core.db, principalOf(request), 'authentik_rbac.view_role'),
          permitted: visibleRow(core.db, principalOf(request), 'authentik_rbac.view_role'),
        })
        if (row === undefined) throw invalid({ role: `Invalid pk "${role}" - object does not exist.` })
        return new Set(await permissionsOfRole(core.db, role))
      }
    },
  )
  app.get(
    '/api/v3/rbac/permissions/:id/',
    {
      config: { access: 'authenticated' },
      schema: {
        operationId: 'rbac_permissions_retrieve',
        tags: ['rbac'],
        params: Type.Object({ id: IntegerKey }),
        response: { 200: Permission, ...errorResponses },
      },
    },
    async request => {
      const entry = permissions.find(permission => permission.id === request.params.id)
      if (entry === undefined) throw notFound()
      return permissionBody(entry)
    },
  )
}

/** @throws ApiError 400 for a field one cannot order by */
function ordered(entries: PermissionEntry[], ordering: string | undefined): PermissionEntry[] {
  if (ordering === undefined || ordering === '') return entries
  const name = ordering.replace(/^-/, '')
  const field = fields.find(candidate => candidate === name)
  if (field === undefined) throw invalid({ ordering: `"${name}" is not a field to order by.` })
  const sign = ordering.startsWith('-') ? -1 : 1
  return entries.toSorted((a, b) => sign * (a[field] < b[field] ? -1 : a[field] > b[field] ? 1 : a.id - b.id))
}

function permissionBody(entry: PermissionEntry) {
  return {
    id: entry.id,
    name: entry.name,
    codename: entry.codename,
    model: entry.model,
    app_label: entry.app,
    app_label_verbose: appLabel(entry.app),
    model_verbose: modelLabel(entry.app, entry.model),
  }
}
