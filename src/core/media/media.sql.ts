import type { RawBuilder } from 'kysely'
import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'
import { containsText } from '../api/filters.sql.ts'
import type { UsedByRow } from '../api/shapes.ts'
import { visibleTo } from '../api/visible.sql.ts'
import type { Principal } from '../sessions/principal.ts'

export interface MediaRow {
  name: string
  /** `<aa>/<sha256>.<extension>` */
  address: string
  mime_type: string
  size: number
}

/** Names that a row's texts mean → addresses of their files; null when there are none. */
export type MediaAddresses = Record<string, string> | null

/**
 * Sub-select for a select list: addresses of the files that texts of the row name, themed variants included.
 * @param texts columns, e.g. ``[sql`r.meta_icon`]``
 */
export function mediaAddresses(db: Queryable, texts: RawBuilder<unknown>[]) {
  const names = texts.flatMap(text => [
    text,
    sql`replace(${text}, '%(theme)s', 'light')`,
    sql`replace(${text}, '%(theme)s', 'dark')`,
  ])
  return sql<MediaAddresses>`(select json_object_agg(media.name, media.address) from ${db.t('media_files')} media
    where media.name = any(array[${sql.join(names)}]))`
}

/** Files whose name holds a text, by name, at most 10,000. */
export async function listMedia(db: Queryable, search: string | undefined): Promise<MediaRow[]> {
  return db.rows<MediaRow>(sql`
    select name, address, mime_type, size from ${db.t('media_files')}
    where ${containsText([sql`name`], search) ?? sql`true`} order by name limit 10000`)
}

export async function findMedia(db: Queryable, name: string): Promise<MediaRow | undefined> {
  return db.first<MediaRow>(sql`
    select name, address, mime_type, size from ${db.t('media_files')} where name = ${name}`)
}

/** Records a file. @returns false when another one has the name */
export async function insertMedia(db: Queryable, file: MediaRow & { createdBy: number }): Promise<boolean> {
  const count = await db.count(sql`
    insert into ${db.t('media_files')} (name, address, mime_type, size, created_by)
    values (${file.name}, ${file.address}, ${file.mime_type}, ${file.size}, ${file.createdBy})
    on conflict (name) do nothing`)
  return count === 1
}

/** Forgets a file. @returns its address; undefined when there was none */
export async function deleteMedia(db: Queryable, name: string): Promise<string | undefined> {
  const row = await db.first<{ address: string }>(sql`
    delete from ${db.t('media_files')} where name = ${name} returning address`)
  return row?.address
}

/** True when a file is recorded at the address. */
export async function isMediaAddress(db: Queryable, address: string): Promise<boolean> {
  const row = await db.first(sql`
    select from ${db.t('media_files')} where address = ${address} limit 1`)
  return row !== undefined
}

/** Objects that show the file, as far as the caller may view them; they would be left without it. */
export async function mediaUsedBy(db: Queryable, principal: Principal, file: MediaRow): Promise<UsedByRow[]> {
  const written = [file.name, `/media/public/${file.name}`, `/media/public/${file.address}`]
  const parts = places.map(({ table, columns, app, model, name }) => {
    const shown = columns.map(column => {
      const text = sql.ref(`u.${column}`)
      return sql`(array[${text}, replace(${text}, '%(theme)s', 'light'), replace(${text}, '%(theme)s', 'dark')]
        && ${written}::text[])`
    })
    return sql`
      select ${app}::text as app, ${model}::text as model_name, u.id::text as pk, ${sql.ref(`u.${name}`)}::text as name,
        'left_dangling'::text as action
      from ${db.t(table)} u where (${sql.join(shown, sql` or `)})
        and ${visibleTo(db, principal, `${app}.view_${model}`, sql`u.id`)}`
  })
  return db.rows<UsedByRow>(sql`${sql.join(parts, sql` union all `)} order by 1, 2, 4, 3 limit 500`)
}

/** Where names of files are written. */
const places = [
  {
    table: 'applications',
    columns: ['meta_icon'],
    app: 'authentik_core',
    model: 'application',
    name: 'name',
  },
  {
    table: 'brands',
    columns: ['branding_logo', 'branding_favicon', 'branding_default_flow_background'],
    app: 'authentik_core',
    model: 'brand',
    name: 'domain',
  },
  { table: 'flows', columns: ['background'], app: 'authentik_flows', model: 'flow', name: 'slug' },
] as const
