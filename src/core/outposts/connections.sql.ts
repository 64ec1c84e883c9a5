import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { asked, containsText, equals } from '../api/filters.sql.ts'
import type { Condition, Ordering, Table } from '../api/resource.sql.ts'
import type { ConnectionType } from './connection-shape.ts'

export interface ConnectionState {
  healthy: boolean
  version: string
}

export interface ConnectionRow {
  id: string
  type: ConnectionType
  name: string
  local: boolean
  config: {
    url?: string
    tls_verification?: string | null
    tls_authentication?: string | null
    verify_ssl?: boolean
  }
  kubeconfig_sealed: Buffer | null
  state: ConnectionState | null
}

export interface ConnectionQuery {
  name?: string
  local?: boolean
  url?: string
  tls_verification?: string
  tls_authentication?: string
  search?: string
}

/** @param type undefined = both kinds */
export function connectionTable(db: Queryable, type?: ConnectionType): Table {
  const all = db.t('service_connections')
  return {
    key: sql`r.id`,
    from: type === undefined ? sql`${all} r` : sql`(select * from ${all} where type = ${type}) r`,
    columns: sql`r.id, r.type, r.name, r.local, r.config, r.kubeconfig_sealed, r.state`,
  }
}

export function connectionConditions(_db: Queryable, q: ConnectionQuery): Condition[] {
  return asked([
    equals(sql`r.name`, q.name),
    equals(sql`r.local`, q.local),
    equals(sql`r.config ->> 'url'`, q.url),
    equals(sql`r.config ->> 'tls_verification'`, q.tls_verification),
    equals(sql`r.config ->> 'tls_authentication'`, q.tls_authentication),
    containsText([sql`r.name`], q.search),
  ])
}

export const connectionOrdering: Ordering = { name: sql`r.name`, local: sql`r.local`, pk: sql`r.id` }

export async function saveState(db: Queryable, id: string, state: ConnectionState): Promise<void> {
  await db.count(sql`
    update ${db.t('service_connections')} set state = ${JSON.stringify(state)}, state_checked_at = now() where id = ${id}`)
}

/** What was known of it no longer holds. */
export async function clearState(db: Queryable, id: string): Promise<void> {
  await db.count(sql`
    update ${db.t('service_connections')} set state = null, state_checked_at = null where id = ${id}`)
}

export async function allConnections(db: Queryable): Promise<ConnectionRow[]> {
  return db.rows<ConnectionRow>(sql`
    select id, type, name, local, config, kubeconfig_sealed, state from ${db.t('service_connections')} order by name`)
}

export async function outpostsOfConnection(db: Queryable, id: string): Promise<string[]> {
  const rows = await db.rows<{ id: string }>(sql`
    select id from ${db.t('outposts')} where service_connection_id = ${id}`)
  return rows.map(row => row.id)
}

export interface TlsPair {
  id: string
  certificate_pem: string
  private_key_sealed: Buffer | null
}

export async function tlsPairs(db: Queryable, ids: string[]): Promise<TlsPair[]> {
  return db.rows<TlsPair>(sql`
    select id, certificate_pem, private_key_sealed from ${db.t('certificate_keypairs')} where id = any(${ids}::uuid[])`)
}
