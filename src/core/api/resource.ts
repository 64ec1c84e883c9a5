// The one way a resource is written: list, create, retrieve, update, partial update, destroy and used_by from a description of its
// table, shapes and rules. A caller who may not view a row is told that it does not exist; one who may view but not write it, 403.
import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { Access } from '../access.ts'
import { principalOf } from '../access.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { refusedByDatabase } from './database-errors.ts'
import { type PageQuery, pageBody, pageOf, pageWindow } from './page.ts'
import { listReader } from './read-after.ts'
import { listRows, orderBy } from './resource.sql.ts'
import type { Action, Resource, WithId } from './resource-definition.ts'
import { permissionOf } from './resource-definition.ts'
import { createRow, deleteRow, findFor, reach, updateRow } from './resource-write.ts'
import { Empty, errorResponses, UsedBy } from './shapes.ts'
import { usedBy } from './used-by.sql.ts'

/** Registers the routes a description has functions for. */
export function registerResource<Row extends WithId, Input extends object, Query extends object>(
  app: CoreApp,
  core: Core,
  resource: Resource<Row, Input, Query>,
): void {
  const { operation, body } = resource
  const collection = `/api/v3${resource.path}`
  const item = `${collection}:${resource.parameter[0]}/`
  const params = Type.Object({ [resource.parameter[0]]: resource.parameter[1] })
  const errors = errorResponses
  const tag = operation.split('_')[0]!
  const schema = (name: string, more: object) => ({
    operationId: `${operation}_${name}`,
    tags: [tag],
    ...more,
  })
  const access = (action: Action): Access =>
    resource.access?.[action] ??
    (action === 'add'
      ? { permission: permissionOf(resource, 'add') }
      : { object: permissionOf(resource, action) })

  app.get(
    collection,
    {
      config: { access: access('view') },
      schema: schema('list', { querystring: resource.query, response: { 200: pageOf(body), ...errors } }),
    },
    async request => {
      const query = request.query as Query & PageQuery & { ordering?: string }
      const { limit, offset } = pageWindow(query)
      const principal = principalOf(request)
      const visible = reach(resource, core.db, principal, 'view')
      const from = resource.fromReplica === true ? listReader(core, request) : core.db
      const rows = await listRows<Row>(from, resource.table(core.db, query, principal), {
        where: [visible, ...resource.where(core.db, query, principal)],
        order: orderBy(resource.ordering, query.ordering, resource.defaultOrder),
        limit,
        offset,
      }).catch(error => Promise.reject(refusedByDatabase(error, resource.unique)))
      return pageBody(
        query,
        rows[0]?.total ?? 0,
        rows.map(row => resource.toBody(row, { core, request })),
      )
    },
  )
  app.get(
    item,
    {
      config: { access: access('view') },
      schema: schema('retrieve', {
        params,
        ...(resource.retrieveQuery === undefined ? {} : { querystring: resource.retrieveQuery }),
        response: { 200: body, ...errors },
      }),
    },
    async request => {
      const row = await findFor(resource, core.db, request, 'view', false)
      return resource.toBody(row, { core, request })
    },
  )
  app.get(
    `${item}used_by/`,
    {
      config: { access: access('view') },
      schema: schema('used_by_list', { params, response: { 200: Type.Array(UsedBy), ...errors } }),
    },
    async request => {
      const row = await findFor(resource, core.db, request, 'view', false)
      return usedBy(core.db, principalOf(request), resource.referrers ?? [], row.id)
    },
  )
  if (resource.insert !== undefined && resource.write !== undefined)
    app.post(
      collection,
      {
        config: { access: access('add') },
        schema: schema('create', { body: resource.write, response: { 201: body, ...errors } }),
      },
      async (request, reply) => {
        const created = await createRow(core, resource, request)
        return reply.code(201).send(created)
      },
    )
  if (resource.update !== undefined && resource.write !== undefined) {
    const change = (request: FastifyRequest) => updateRow(core, resource, request)
    const config = { access: access('change') }
    const response = { 200: body, ...errors }
    app.put(item, { config, schema: schema('update', { params, body: resource.write, response }) }, change)
    const part = Type.Partial(resource.write)
    app.patch(item, { config, schema: schema('partial_update', { params, body: part, response }) }, change)
  }
  if (resource.remove !== undefined)
    app.delete(
      item,
      {
        config: { access: access('delete') },
        schema: schema('destroy', { params, response: { 204: Empty, ...errors } }),
      },
      async (request, reply) => {
        await deleteRow(core, resource, request)
        return reply.code(204).send()
      },
    )
}
