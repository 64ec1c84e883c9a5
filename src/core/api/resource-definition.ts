// The description of a resource: its table, its shapes and its rules; resource.ts makes routes of it.
import type { FastifyRequest } from 'fastify'
import type { TObject, TSchema } from 'typebox'
import type { Queryable } from '../../pg/db.ts'
import type { Access } from '../access.ts'
import type { Core } from '../core.ts'
import type { Principal } from '../sessions/principal.ts'
import type { WriteContext } from './audit.ts'
import type { Condition, Ordering, Table } from './resource.sql.ts'
import type { Referrer } from './used-by.sql.ts'

export interface WithId {
  id: string | number
}

export type Action = 'view' | 'add' | 'change' | 'delete'

export interface Resource<Row extends WithId, Input extends object, Query extends object> {
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
  table(db: Queryable, query: Query, principal: Principal): Table
  where(db: Queryable, query: Query, principal: Principal): Condition[]
  /** fields one may order by; the first is the default */
  ordering: Ordering
  defaultOrder?: string
  /** lists may be read from a standby: nothing in them decides about access, and no table is unlogged */
  fromReplica?: true
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
export interface WriteResult {
  revocationId?: number
}

/** The codename of an action on a resource. */
export function permissionOf(resource: { app: string; model: string }, action: Action): string {
  return `${resource.app}.${action}_${resource.model}`
}
