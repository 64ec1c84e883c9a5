// Read replicas: AUTHENTIK_POSTGRESQL__READ_REPLICAS__<n>__HOST and its companions. They are as many as there are, so they are no rows
// of the table; each key has the meaning of its namesake without the middle part, and falls back to it.
import { ParseError } from './errors.ts'
import { isIndirect, resolveIndirect, type Surroundings } from './indirect.ts'
import { emptyIsValue, parseSetting, type SettingAny } from './parse.ts'
import type { RawSettings } from './sources.ts'
import { rows, type SettingName } from './table.ts'

const prefix = 'AUTHENTIK_POSTGRESQL__READ_REPLICAS__'
const ownKeys = [
  'HOST',
  'PORT',
  'NAME',
  'USER',
  'PASSWORD',
  'SSLMODE',
  'SSLROOTCERT',
  'SSLCERT',
  'SSLKEY',
  'CONN_OPTIONS',
]

/** What is set of one replica: the name of the main setting to its value, read anew at every call where it is a reference. */
export interface ReplicaSettings {
  /** e.g. `AUTHENTIK_POSTGRESQL__READ_REPLICAS__0__` */
  prefix: string
  /** Undefined: as the main database. @throws ParseError when what a reference leads to no longer fits */
  value(name: SettingName): SettingAny | undefined
}

/** True for a key of a replica that has a meaning. */
export function isReplicaKey(name: string): boolean {
  return nameParts(name) !== undefined
}

/** @returns the replicas in order of their numbers, and one line per problem */
export function readReplicas(
  found: RawSettings,
  around: Surroundings,
): { replicas: ReplicaSettings[]; problems: string[] } {
  const problems: string[] = []
  const byNumber = new Map<number, Map<SettingName, string>>()
  for (const [name, { text, origin }] of found) {
    const parts = nameParts(name)
    if (parts === undefined) continue
    const own = byNumber.get(parts.number) ?? new Map<SettingName, string>()
    byNumber.set(parts.number, own)
    if (text === '' && !emptyIsValue(rows[parts.main])) continue
    own.set(parts.main, text)
    try {
      evaluate(parts.main, text, around)
    } catch (error) {
      if (!(error instanceof ParseError)) throw error
      problems.push(`${name} (${origin}) ${error.message}`)
    }
  }
  const replicas = [...byNumber]
    .sort(([a], [b]) => a - b)
    .map(([number, own]): ReplicaSettings => {
      if (!own.has('AUTHENTIK_POSTGRESQL__HOST'))
        problems.push(`${prefix}${number}__HOST is not set, although other keys of this replica are: set it`)
      const fixed = new Map<SettingName, SettingAny>()
      return {
        prefix: `${prefix}${number}__`,
        value(name) {
          const text = own.get(name)
          if (text === undefined) return undefined
          const known = fixed.get(name)
          if (known !== undefined) return known
          const value = evaluate(name, text, around)
          if (!isIndirect(text)) fixed.set(name, value)
          return value
        },
      }
    })
  return { replicas, problems }
}

function nameParts(name: string): { number: number; main: SettingName } | undefined {
  if (!name.startsWith(prefix)) return undefined
  const match = /^(\d{1,3})__([A-Z_]+)$/.exec(name.slice(prefix.length))
  if (match === null || !ownKeys.includes(match[2] ?? '')) return undefined
  return { number: Number(match[1]), main: `AUTHENTIK_POSTGRESQL__${match[2]}` as SettingName }
}

function evaluate(name: SettingName, text: string, around: Surroundings): SettingAny {
  const resolved = resolveIndirect(text, around)
  if (resolved.kind === 'unreadable') throw new ParseError(`leads nowhere: ${resolved.missing}`)
  return parseSetting(rows[name], resolved.text)
}
