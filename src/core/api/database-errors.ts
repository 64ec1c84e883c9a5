// Constraints of the database as answers of the API: what two requests race for is decided by the row, and reads as a field error.
import { constraintOf, isForeignKeyViolation, isUniqueViolation, sqlstate } from '../../pg/errors.ts'
import { type ApiError, invalid } from '../errors.ts'

/** SQLSTATEs of text that PostgreSQL cannot store: U+0000 in text and in JSON. */
const unstorable = new Set(['22021', '22P05'])
/** Numbers and times beyond their type, halves of surrogate pairs in JSON: sound to the schema, nothing to the column. */
const outOfRange = new Set(['22003', '22008', '22P02'])

/**
 * @param unique unique constraint or index → field of the body
 * @returns the error to throw: a 400 where the caller's input broke a rule, else `error` itself
 */
export function refusedByDatabase(error: unknown, unique: Record<string, string> = {}): unknown {
  if (isUniqueViolation(error)) {
    const field = unique[constraintOf(error) ?? '']
    return field === undefined ? error : invalid({ [field]: 'This field must be unique.' })
  }
  if (isForeignKeyViolation(error))
    return invalid({ non_field_errors: 'This is used by, or refers to, an object that changed meanwhile.' })
  return refusedValue(error) ?? error
}

/** A value of the caller that no column takes, as a 400; undefined for any other error. */
export function refusedValue(error: unknown): ApiError | undefined {
  const state = sqlstate(error) ?? ''
  if (unstorable.has(state)) return invalid({ non_field_errors: 'Text must not hold the character U+0000.' })
  if (outOfRange.has(state))
    return invalid({ non_field_errors: 'A value is outside of what can be stored or looked for.' })
  return undefined
}
