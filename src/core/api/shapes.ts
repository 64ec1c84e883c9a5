// Schemas that several resources share.
import type { Static, TObject, TProperties, TSchema } from 'typebox'
import Type from 'typebox'
import { pageQuery } from './page.ts'

export function nullable<T extends TSchema>(schema: T) {
  return Type.Union([schema, Type.Null()])
}

export const Uuid = Type.String({ format: 'uuid' })
export const Time = Type.String({ format: 'date-time' })
/** Any JSON object. */
export const Json = Type.Unsafe<JsonObject>(Type.Object({}, { additionalProperties: true }))
export type JsonObject = Record<string, unknown>
/** The answer 204. */
export const Empty = Type.Unsafe<undefined>({ type: 'null' })

export const IntegerKey = Type.Integer({ minimum: 1, maximum: 2_147_483_647 })

/** Query of a list: paging, ordering, search and the filters given; anything else is refused. */
export function listQuery<T extends TProperties>(filters: T): TObject<typeof pageQuery & T> {
  return Type.Object({ ...pageQuery, ...filters }, { additionalProperties: false })
}

/** A query without paging; anything not named is refused. */
export function onlyQuery<T extends TProperties>(parameters: T): TObject<T> {
  return Type.Object(parameters, { additionalProperties: false })
}

export const GenericError = Type.Object(
  { detail: Type.String(), code: Type.Optional(Type.String()) },
  { additionalProperties: true },
)

/** What every route may answer besides its own. */
export const errorResponses = {
  400: Type.Object({}, { additionalProperties: true }),
  403: GenericError,
  404: GenericError,
}

export const UsedBy = Type.Object({
  app: Type.String(),
  model_name: Type.String(),
  pk: Type.String(),
  name: Type.String(),
  action: Type.Enum(['cascade', 'cascade_many', 'set_null', 'set_default', 'left_dangling']),
})
export type UsedByRow = Static<typeof UsedBy>

/** ISO text of a time from the database. */
export function iso(time: Date): string {
  return time.toISOString()
}

export function isoOrNull(time: Date | null): string | null {
  return time === null ? null : time.toISOString()
}
