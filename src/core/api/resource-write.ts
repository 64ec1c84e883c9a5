// Writing a row through the API: one transaction with the change, its event, and what the change sets going.
import type { FastifyRequest } from 'fastify'
import type { Queryable } from '../../pg/db.ts'
import { principalOf } from '../access.ts'
import type { Core } from '../core.ts'
import { notFound, permissionDenied } from '../errors.ts'
import type { Principal } from '../sessions/principal.ts'
import type { ModelReference, WriteContext } from './audit.ts'
import { audit, diff } from './audit.ts'
import { refusedByDatabase } from './database-errors.ts'
import type { Condition } from './resource.sql.ts'
import { findRow, reloadRow } from './resource.sql.ts'
import type { Action, Resource, WithId } from './resource-definition.ts'
import { permissionOf } from './resource-definition.ts'
import { visibleRow } from './visible.sql.ts'

/** A transaction whose violated constraints become field errors. */
export async function write<T>(
  core: Core,
  request: FastifyRequest,
  work: (context: WriteContext) => Promise<T>,
  unique?: Record<string, string>,
): Promise<T> {
  const principal = principalOf(request)
  try {
    return await core.db.transaction(tx => work({ core, tx, principal, request }))
  } catch (error) {
    throw refusedByDatabase(error, unique)
  }
}

/** The row the path names, if the caller may do `action` to it. @throws ApiError 404 when he may not view it, 403 when he only may */
export async function findFor<Row extends WithId, Input extends object, Query extends object>(
  resource: Resource<Row, Input, Query>,
  db: Queryable,
  request: FastifyRequest,
  action: Action | Condition,
  lock: boolean,
): Promise<Row> {
  const key = (request.params as Record<string, string | number>)[resource.parameter[0]]!
  const principal = principalOf(request)
  const row = await findRow<Row>(db, resource.table(db, request.query as Query, principal), {
    key,
    visible: reach(resource, db, principal, 'view'),
    permitted: typeof action === 'string' ? reach(resource, db, principal, action) : action,
    lock,
  })
  if (row === undefined) throw notFound()
  if (!row.permitted) throw permissionDenied()
  return row
}

export async function createRow<Row extends WithId, Input extends object, Query extends object>(
  core: Core,
  resource: Resource<Row, Input, Query>,
  request: FastifyRequest,
): Promise<object> {
  return write(
    core,
    request,
    async context => {
      const id = await resource.insert!(context, request.body as Input)
      const { tx, principal } = context
      const row = await reloadRow<Row>(tx, resource.table(tx, {} as Query, principal), id)
      await audit(context, 'model_created', modelOf(resource, row))
      return resource.toBody(row, { core, request })
    },
    resource.unique,
  )
}

export async function updateRow<Row extends WithId, Input extends object, Query extends object>(
  core: Core,
  resource: Resource<Row, Input, Query>,
  request: FastifyRequest,
): Promise<object> {
  return write(
    core,
    request,
    async context => {
      const row = await findFor(resource, context.tx, request, 'change', true)
      const before = resource.toBody(row, { core, request })
      const result = await resource.update!(context, row, request.body as Partial<Input>)
      const { tx, principal } = context
      const now = await reloadRow<Row>(tx, resource.table(tx, {} as Query, principal), row.id)
      const after = resource.toBody(now, { core, request })
      const changes = diff(before, after)
      if (Object.keys(changes).length > 0)
        await audit(context, 'model_updated', modelOf(resource, now), { diff: changes }, result.revocationId)
      return after
    },
    resource.unique,
  )
}

export async function deleteRow<Row extends WithId, Input extends object, Query extends object>(
  core: Core,
  resource: Resource<Row, Input, Query>,
  request: FastifyRequest,
): Promise<void> {
  await write(core, request, async context => {
    const row = await findFor(resource, context.tx, request, 'delete', true)
    const result = await resource.remove!(context, row)
    await audit(context, 'model_deleted', modelOf(resource, row), {}, result.revocationId)
  })
}

/** How events name a row. */
export function modelOf<Row extends WithId>(
  resource: { app: string; model: string; label(row: Row): { pk: string | number; name: string } },
  row: Row,
): ModelReference {
  const { pk, name } = resource.label(row)
  return { app: resource.app, model_name: resource.model, pk: String(pk), name }
}

/** Rows an action of the caller reaches. */
export function reach<Row extends WithId, Input extends object, Query extends object>(
  resource: Resource<Row, Input, Query>,
  db: Queryable,
  principal: Principal,
  action: Action,
): Condition {
  return resource.reach?.(db, principal, action) ?? visibleRow(db, principal, permissionOf(resource, action))
}
