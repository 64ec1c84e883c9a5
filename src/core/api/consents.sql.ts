import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import type { Principal } from '../sessions/principal.ts'
import { asked, containsText, equals } from './filters.sql.ts'
import type { Condition, Ordering, Table } from './resource.sql.ts'
import type { OwnerJson } from './user-shape.ts'
import { ownerColumn } from './users.sql.ts'
import { visibleRow } from './visible.sql.ts'

export interface ConsentRow {
  id: number
  permissions: string[]
  expires_at: Date | null
  owner: OwnerJson
  application: {
    id: string
    slug: string
    name: string
    group: string
    provider_id: number | null
    meta_launch_url: string
    meta_icon: string
    meta_description: string
    meta_publisher: string
    meta_hide: boolean
    open_in_new_tab: boolean
    policy_engine_mode: string
  }
}

export interface ConsentQuery {
  application?: string
  search?: string
  user?: number
}

export function consentTable(db: Queryable): Table {
  return {
    key: sql`r.id`,
    from: sql`(
      select c.*, c.user_id as owner_id, to_json(a) as application, a.name as application_name
      from ${db.t('user_consents')} c join ${db.t('applications')} a on a.id = c.application_id
      where c.expires_at is null or c.expires_at > now()
    ) r`,
    columns: sql`r.id, r.permissions, r.expires_at, r.application, ${ownerColumn(db)}`,
  }
}

export function consentReach(db: Queryable, principal: Principal, action: string): Condition {
  const byPermission = visibleRow(db, principal, `authentik_core.${action}_userconsent`)
  return sql<boolean>`(r.user_id = ${principal.user.id} or ${byPermission})`
}

export function consentConditions(_db: Queryable, q: ConsentQuery): Condition[] {
  return asked([
    equals(sql`r.user_id`, q.user),
    equals(sql`r.application_id`, q.application),
    containsText([sql`r.application_name`], q.search),
  ])
}

export const consentOrdering: Ordering = {
  application: sql`r.application_name`,
  expires: sql`r.expires_at`,
  pk: sql`r.id`,
}
