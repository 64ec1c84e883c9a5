// The one way a resource is written: list, create, retrieve, update, partial update, destroy and used_by from a description of its
// table, shapes and rules. A caller who may not view a row is told that it does not exist; one who may view but not write it, 403.
import type { FastifyRequest } from 'fastify'
import type { RawBuilder } from 'kysely'
import type { TObject, TSchema } from 'typebox'
import Type from 'typebox'
import type { Queryable, Tx } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { Access } from '../access.ts'
import { principalOf } from '../access.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { invalid, notFound, permissionDenied } from '../errors.ts'
import type { Principal } from '../sessions/principal.ts'
import type { ModelReference, WriteContext } from './audit.ts'
import { audit, diff } from './audit.ts'
import { refusedByDatabase } from './database-errors.ts'
import { pageBody, pageOf, type PageQuery, pageWindow } from './page.ts'
import type { Condition, Table } from './resource.sql.ts'
import { findRow, listRows, reloadRow } from './resource.sql.ts'
import { GenericError, UsedBy } from './shapes.ts'
import type { Referrer } from './used-by.sql.ts'
import { usedBy } from './used-by.sql.ts'
import { visibleTo } from './visible.sql.ts'

export type Action = 'view' | 'add' | 'change' | 'delete'

export interface Resource<Row extends { id: string | number }, Input extends object, Query extends object> {
  /** e.g. `/core/brands/` */
  path: string
  /** name and shape of the path's last part */
  parameter: [name: string, schema: TSchema]
  /** prefix of operation ids, e.g. `core_brands` */
  operation: string
  app: string
  model: string
  /** the answer */
  body: TObject
  /** body of POST and PUT; PATCH takes any part of it */
  write?: TObject
  /** made by `listQuery` */
  query: TObject
  /** query of retrieve */
  retrieveQuery?: TObject
  table(db: Queryable, query: Query): Table
  where(db: Queryable, query: Query): Condition[]
  /** fields one may order by; the first is the default */
  ordering: Record<string, RawBuilder<unknown>>
  defaultOrder?: string
  /** whose rows an action reaches; default: those the permission `<app>.<action>_<model>` is held on */
  reach?(db: Queryable, principal: Principal, action: Action): Condition
  access?: Partial<Record<Action, Access>>
  toBody(row: Row, seen: { core: Core; request: FastifyRequest }): object
  /** pk and name in events */
  label(row: Row): { pk: string | number; name: string }
  /** @returns the id of the new row */
  insert?(context: WriteContext, input: Input): Promise<string | number>
  update?(context: WriteContext, row: Row, input: Partial<Input>): Promise<WriteResult>
  remove?(context: WriteContext, row: Row): Promise<WriteResult>
  /** unique constraint → field */
  unique?: Record<string, string>
  referrers?: Referrer[]
}

/** What a write started besides: the revocation to show on its event. */
export type WriteResult = { revocationId?: number } | undefined | void

/** Registers the routes a description has functions for. */
export function registerResource<Row extends { id: string | number }, Input extends object, Query extends object>(
  app: CoreApp,
  core: Core,
  resource: Resource<Row, Input, Query>,
): void {
  const { operation, body } = resource
  const collection = `/api/v3${resource.path}`
  const item = `${collection}:${resource.parameter[0]}/`
  const params = Type.Object({ [resource.parameter[0]]: resource.parameter[1] })
  const errors = { 400: Type.Object({}, { additionalProperties: true }), 403: GenericError, 404: GenericError }
  const tag = operation.split('_')[0]!
  const schema = (name: string, more: object) => ({ operationId: `${operation}_${name}`, tags: [tag], ...more })
  const access = (action: Action): Access =>
    resource.access?.[action] ??
    (action === 'add' ? { permission: permissionOf(resource, 'add') } : { object: permissionOf(resource, action) })

  app.get(
    collection,
    {
      config: { access: access('view') },
      schema: schema('list', { querystring: resource.query, response: { 200: pageOf(body), ...errors } }),
    },
    async request => {
      const query = request.query as Query & PageQuery & { ordering?: string }
      const { limit, offset } = pageWindow(query)
      const visible = reach(resource, core.db, principalOf(request), 'view')
      const rows = await listRows<Row>(core.db, resource.table(core.db, query), {
        where: [visible, ...resource.where(core.db, query)],
        order: orderOf(resource, query.ordering),
        limit,
        offset,
      }).catch(error => Promise.reject(refusedByDatabase(error, resource.unique)))
      return pageBody(query, rows[0]?.total ?? 0, rows.map(row => resource.toBody(row, { core, request })))
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
        const created = await create(core, resource, request)
        return reply.code(201).send(created)
      },
    )
  if (resource.update !== undefined && resource.write !== undefined) {
    const change = (request: FastifyRequest) => update(core, resource, request)
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
        schema: schema('destroy', { params, response: { 204: Type.Null(), ...errors } }),
      },
      async (request, reply) => {
        await remove(core, resource, request)
        return reply.code(204).send()
      },
    )
}

/** A transaction whose violated constraints become field errors. */
export async function write<T>(
  core: Core,
  request: FastifyRequest,
  work: (context: WriteContext) => Promise<T>,
  unique?: Record<string, string>,
): Promise<T> {
  const principal = principalOf(request)
  try {
    return await core.db.transaction((tx: Tx) => work({ core, tx, principal, request }))
  } catch (error) {
    throw refusedByDatabase(error, unique)
  }
}

/** The row the path names, if the caller may do `action` to it. @throws ApiError 404 when he may not view it, 403 when he only may */
export async function findFor<Row extends { id: string | number }, Input extends object, Query extends object>(
  resource: Resource<Row, Input, Query>,
  db: Queryable,
  request: FastifyRequest,
  action: Action | Condition,
  lock: boolean,
): Promise<Row> {
  const key = (request.params as Record<string, string | number>)[resource.parameter[0]]!
  const principal = principalOf(request)
  const row = await findRow<Row>(db, resource.table(db, request.query as Query), {
    key,
    visible: reach(resource, db, principal, 'view'),
    permitted: typeof action === 'string' ? reach(resource, db, principal, action) : action,
    lock,
  })
  if (row === undefined) throw notFound()
  if (!row.permitted) throw permissionDenied()
  return row
}

type AnyResource<Row extends { id: string | number }, Input extends object, Query extends object> = Resource<
  Row,
  Input,
  Query
>

async function create<Row extends { id: string | number }, Input extends object, Query extends object>(
  core: Core,
  resource: AnyResource<Row, Input, Query>,
  request: FastifyRequest,
): Promise<object> {
  return write(
    core,
    request,
    async context => {
      const id = await resource.insert!(context, request.body as Input)
      const row = await reloadRow<Row>(context.tx, resource.table(context.tx, {} as Query), id)
      await audit(context, 'model_created', modelOf(resource, row))
      return resource.toBody(row, { core, request })
    },
    resource.unique,
  )
}

async function update<Row extends { id: string | number }, Input extends object, Query extends object>(
  core: Core,
  resource: AnyResource<Row, Input, Query>,
  request: FastifyRequest,
): Promise<object> {
  return write(
    core,
    request,
    async context => {
      const row = await findFor(resource, context.tx, request, 'change', true)
      const before = resource.toBody(row, { core, request })
      const result = await resource.update!(context, row, request.body as Partial<Input>)
      const now = await reloadRow<Row>(context.tx, resource.table(context.tx, {} as Query), row.id)
      const after = resource.toBody(now, { core, request })
      const changes = diff(before, after)
      if (Object.keys(changes).length > 0)
        await audit(context, 'model_updated', modelOf(resource, now), { diff: changes }, result?.revocationId)
      return after
    },
    resource.unique,
  )
}

async function remove<Row extends { id: string | number }, Input extends object, Query extends object>(
  core: Core,
  resource: AnyResource<Row, Input, Query>,
  request: FastifyRequest,
): Promise<void> {
  await write(core, request, async context => {
    const row = await findFor(resource, context.tx, request, 'delete', true)
    const result = await resource.remove!(context, row)
    await audit(context, 'model_deleted', modelOf(resource, row), {}, result?.revocationId)
  })
}

/** How events name a row. */
export function modelOf<Row extends { id: string | number }>(
  resource: { app: string; model: string; label(row: Row): { pk: string | number; name: string } },
  row: Row,
): ModelReference {
  const { pk, name } = resource.label(row)
  return { app: resource.app, model_name: resource.model, pk: String(pk), name }
}

function permissionOf(resource: { app: string; model: string }, action: Action): string {
  return `${resource.app}.${action}_${resource.model}`
}

function reach<Row extends { id: string | number }, Input extends object, Query extends object>(
  resource: AnyResource<Row, Input, Query>,
  db: Queryable,
  principal: Principal,
  action: Action,
): Condition {
  return (
    resource.reach?.(db, principal, action) ??
    visibleTo(db, principal, permissionOf(resource, action), sql`r.id`)
  )
}

/** `name`, `-name` or several joined by commas. */
function orderOf(
  resource: { ordering: Record<string, RawBuilder<unknown>>; defaultOrder?: string },
  ordering: string | undefined,
): RawBuilder<unknown>[] {
  const first = resource.defaultOrder ?? Object.keys(resource.ordering)[0]!
  const fields = ordering === undefined || ordering === '' ? first : ordering
  return fields.split(',').map(field => {
    const name = field.startsWith('-') ? field.slice(1) : field
    if (!Object.hasOwn(resource.ordering, name))
      throw invalid({ ordering: `"${name}" is not a field to order by.` })
    return field.startsWith('-')
      ? sql`${resource.ordering[name]!} desc nulls last`
      : sql`${resource.ordering[name]!} asc nulls first`
  })
}
