// Settings: read once at the door, typed by one table, never printed when secret. Only this room and main.ts read the environment.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from './log.ts'
import type { ConnectionOptions } from './settings/connection-options.ts'
import { ParseError, SettingsError } from './settings/errors.ts'
import { isIndirect, resolveIndirect, type Surroundings } from './settings/indirect.ts'
import { emptyIsValue, type ListenAddress, parseSetting, type SettingAny } from './settings/parse.ts'
import { buildTarget, type PostgresTarget } from './settings/postgres-target.ts'
import { type ReplicaSettings, readReplicas } from './settings/replicas.ts'
import { checkTogether } from './settings/rules.ts'
import { configFiles, fillFromEnvFile, type RawSettings, readSources } from './settings/sources.ts'
import { type Program, rows, type SettingName, settingNames, type settingsTable } from './settings/table.ts'
import { judgeKeys, type Notice } from './settings/unknown-keys.ts'

export { SettingsError } from './settings/errors.ts'
export { settingsHelp } from './settings/help.ts'
export type { ListenAddress } from './settings/parse.ts'
export type { PostgresTarget } from './settings/postgres-target.ts'
export { type Program, programs, type SettingName } from './settings/table.ts'

type Rows = typeof settingsTable

/** The type of a setting's value: seconds for durations, `Infinity` for an age without end. */
export type SettingValue<N extends SettingName> = Rows[N] extends {
  kind: 'choice'
  values: readonly (infer V)[]
}
  ? V
  : Rows[N]['kind'] extends 'integer' | 'duration' | 'age'
    ? number
    : Rows[N]['kind'] extends 'boolean'
      ? boolean
      : Rows[N]['kind'] extends 'listen'
        ? ListenAddress[]
        : Rows[N]['kind'] extends 'cidrs'
          ? string[]
          : Rows[N]['kind'] extends 'ports'
            ? number[]
            : Rows[N]['kind'] extends 'connection-options'
              ? ConnectionOptions
              : string

export interface Settings {
  readonly program: Program
  /** The value at start. */
  get<N extends SettingName>(name: N): SettingValue<N>
  /** The value now: a reference is followed anew. What cannot be read keeps the last value. */
  current<N extends SettingName>(name: N): SettingValue<N>
  /** True when a source other than the default says it. */
  isSet(name: SettingName): boolean
  /** `default`, `environment`, or the path of a file. */
  originOf(name: SettingName): string
  /** Where the database is, references followed anew at every call. */
  postgresTarget(): PostgresTarget
  /** The same for the direct connection; keys that are not set are those of the main one. */
  directTarget(): PostgresTarget
  /** Read replicas, each like `postgresTarget`; empty when there are none. */
  replicaTargets(): (() => PostgresTarget)[]
  /** What was set and has no effect: event and fields of a log line each. */
  notices(): readonly Notice[]
  /** Logs what was ignored, and uses this log from now on. Call it once the log exists. */
  announce(log: Log): void
}

interface Entry {
  value: SettingAny
  raw: string
  origin: string
  /** the last problem that was logged, so that it is logged once */
  trouble?: string
}

/**
 * Reads all settings of a program.
 * @param options.files configuration files in the order they are read; default those of /etc/authentik
 * @param options.readFile throws when a file cannot be read; default: read as UTF-8
 * @throws SettingsError with one line per problem
 */
export function loadSettings(options: {
  program: Program
  env: Readonly<Record<string, string | undefined>>
  files?: readonly string[]
  readFile?: (path: string) => string
}): Settings {
  const { program, env } = options
  const around: Surroundings = { env, readFile: options.readFile ?? (path => readFileSync(path, 'utf8')) }
  const found = readSources({ ...around, files: options.files ?? configFiles() })
  if (program === 'proxy')
    fillFromEnvFile(found, join(dataDirectory(found, around), 'proxy.env'), around.readFile)

  const { problems, notices } = judgeKeys(new Map([...found].map(([name, { origin }]) => [name, origin])))
  const replicas = readReplicas(found, around)
  problems.push(...replicas.problems)
  const entries = new Map<SettingName, Entry>()
  for (const name of settingNames) {
    const entry = createEntry(name, program, found)
    const outcome = evaluate(name, entry, around)
    if ('problem' in outcome) problems.push(outcome.problem)
    else entry.value = outcome.value
    if (outcome.notice !== undefined && entry.origin !== 'default')
      notices.push({ event: 'reference leads nowhere', fields: { setting: name, reason: outcome.notice } })
    entries.set(name, entry)
  }
  if (problems.length > 0) throw new SettingsError(problems)

  let log: Log | undefined
  const entryOf = (name: SettingName): Entry => {
    const entry = entries.get(name)
    if (entry === undefined) throw new TypeError(`${name} is not in the settings table`)
    return entry
  }
  // The table's kinds decide the type of each value; this is the one place where that is said to the compiler.
  const get = <N extends SettingName>(name: N) => entryOf(name).value as SettingValue<N>
  const fresh = <N extends SettingName>(name: N): SettingValue<N> => {
    const entry = entryOf(name)
    if (isIndirect(entry.raw)) refresh(name, entry, around, log)
    return get(name)
  }
  const replicaTargets = replicas.replicas.map(replica =>
    steady(
      () => replicaTarget(replica, fresh),
      () => log,
    ),
  )
  const settings: Settings = {
    program,
    get,
    current: fresh,
    isSet: name => entryOf(name).origin !== 'default',
    originOf: name => entryOf(name).origin,
    postgresTarget: steady(
      () => mainTarget(fresh),
      () => log,
    ),
    directTarget: steady(
      () => directTarget(fresh),
      () => log,
    ),
    replicaTargets: () => replicaTargets,
    notices: () => notices,
    announce(to) {
      if (log === undefined) for (const { event, fields } of notices) to.warning(event, fields)
      log = to
    },
  }
  checkTogether(settings)
  shown.set(settings, entries)
  return settings
}

const shown = new WeakMap<Settings, ReadonlyMap<SettingName, Entry>>()
const mask = '********'

/** Every setting with its value as an operator may see it, and where it comes from. References are shown, not followed. */
export function dumpSettings(settings: Settings): { name: SettingName; value: string; origin: string }[] {
  const entries = shown.get(settings) ?? new Map<SettingName, Entry>()
  return [...entries].map(([name, { raw, value, origin }]) => ({
    name,
    value: rows[name].secret ? (value === '' ? '' : mask) : raw,
    origin,
  }))
}

function dataDirectory(found: RawSettings, around: Surroundings): string {
  const resolved = resolveIndirect(
    found.get('POSTERN_DATA_DIR')?.text ?? rows.POSTERN_DATA_DIR.default,
    around,
  )
  return resolved.kind === 'unreadable' ? rows.POSTERN_DATA_DIR.default : resolved.text
}

function createEntry(name: SettingName, program: Program, found: RawSettings): Entry {
  const row = rows[name]
  const set = found.get(name)
  if (set !== undefined && (set.text !== '' || emptyIsValue(row)))
    return { raw: set.text, origin: set.origin, value: '' }
  const standard = program === 'start' ? (row.startDefault ?? row.default) : row.default
  return { raw: standard, origin: 'default', value: '' }
}

type Outcome = { value: SettingAny; notice?: string } | { problem: string; notice?: string }

/** Follows the reference and parses; a problem is one line for the operator, with the value only when it is neither secret nor referred to. */
function evaluate(name: SettingName, { raw, origin }: Entry, around: Surroundings): Outcome {
  const row = rows[name]
  const resolved = resolveIndirect(raw, around)
  if (resolved.kind === 'unreadable')
    return {
      problem: `${name} (${origin}): ${resolved.missing}; correct the path, or add a fallback after "?"`,
    }
  const notice = resolved.kind === 'unset' ? resolved.missing : undefined
  const text = resolved.text === '' && !emptyIsValue(row) ? row.default : resolved.text
  try {
    return { value: parseSetting(row, text), notice }
  } catch (error) {
    if (!(error instanceof ParseError)) throw error
    const hidden =
      row.secret || row.kind === 'connection-options' || resolved.kind !== 'literal' || text === ''
    return {
      problem: `${name} (${origin}) ${error.message}${hidden ? '' : `; it is ${JSON.stringify(text)}`}`,
    }
  }
}

/** After the start a reference that leads nowhere keeps the last value, with one line per change of trouble. */
function refresh(name: SettingName, entry: Entry, around: Surroundings, log: Log | undefined): void {
  const outcome = evaluate(name, entry, around)
  if ('value' in outcome) {
    if (entry.trouble !== undefined) log?.info('setting can be read again', { setting: name })
    entry.value = outcome.value
    entry.trouble = undefined
  } else if (entry.trouble !== outcome.problem) {
    entry.trouble = outcome.problem
    log?.error('setting cannot be read, the last value stays', { setting: name, error: outcome.problem })
  }
}

/** Builds anew at every call; what no longer fits together after the start leaves the last good target in place. */
function steady(build: () => PostgresTarget, log: () => Log | undefined): () => PostgresTarget {
  let last: PostgresTarget | undefined
  let trouble: string | undefined
  return () => {
    try {
      last = build()
      trouble = undefined
    } catch (error) {
      const expected = error instanceof SettingsError || error instanceof ParseError
      if (last === undefined || !expected) throw error
      if (trouble !== error.message)
        log()?.error('settings do not fit together, the last values stay', { error: error.message })
      trouble = error.message
    }
    return last
  }
}

type Read = <N extends SettingName>(name: N) => SettingValue<N>

/** What is not set of a replica is as in the main database, but for the options, which replicas have of their own. */
function replicaTarget(replica: ReplicaSettings, read: Read): PostgresTarget {
  const own = <N extends SettingName>(name: N): SettingValue<N> => {
    const value = replica.value(name)
    if (value !== undefined) return value as SettingValue<N>
    if (name === 'AUTHENTIK_POSTGRESQL__CONN_OPTIONS')
      return read('AUTHENTIK_POSTGRESQL__REPLICA_CONN_OPTIONS') as SettingValue<N>
    return read(name)
  }
  return mainTarget(own, replica.prefix)
}

function mainTarget(read: Read, prefix = 'AUTHENTIK_POSTGRESQL__'): PostgresTarget {
  return buildTarget(
    {
      host: read('AUTHENTIK_POSTGRESQL__HOST'),
      ports: read('AUTHENTIK_POSTGRESQL__PORT'),
      user: read('AUTHENTIK_POSTGRESQL__USER'),
      password: read('AUTHENTIK_POSTGRESQL__PASSWORD'),
      database: read('AUTHENTIK_POSTGRESQL__NAME'),
      sslmode: read('AUTHENTIK_POSTGRESQL__SSLMODE'),
      sslrootcert: read('AUTHENTIK_POSTGRESQL__SSLROOTCERT'),
      sslcert: read('AUTHENTIK_POSTGRESQL__SSLCERT'),
      sslkey: read('AUTHENTIK_POSTGRESQL__SSLKEY'),
      options: read('AUTHENTIK_POSTGRESQL__CONN_OPTIONS'),
    },
    prefix,
  )
}

function directTarget(read: Read): PostgresTarget {
  const ports = read('AUTHENTIK_POSTGRESQL__DIRECT__PORT')
  const options = read('AUTHENTIK_POSTGRESQL__DIRECT__CONN_OPTIONS')
  return buildTarget(
    {
      host: read('AUTHENTIK_POSTGRESQL__DIRECT__HOST') || read('AUTHENTIK_POSTGRESQL__HOST'),
      ports: ports.length > 0 ? ports : read('AUTHENTIK_POSTGRESQL__PORT'),
      user: read('AUTHENTIK_POSTGRESQL__DIRECT__USER') || read('AUTHENTIK_POSTGRESQL__USER'),
      password: read('AUTHENTIK_POSTGRESQL__DIRECT__PASSWORD') || read('AUTHENTIK_POSTGRESQL__PASSWORD'),
      database: read('AUTHENTIK_POSTGRESQL__DIRECT__NAME') || read('AUTHENTIK_POSTGRESQL__NAME'),
      sslmode: read('AUTHENTIK_POSTGRESQL__DIRECT__SSLMODE') || read('AUTHENTIK_POSTGRESQL__SSLMODE'),
      sslrootcert:
        read('AUTHENTIK_POSTGRESQL__DIRECT__SSLROOTCERT') || read('AUTHENTIK_POSTGRESQL__SSLROOTCERT'),
      sslcert: read('AUTHENTIK_POSTGRESQL__DIRECT__SSLCERT') || read('AUTHENTIK_POSTGRESQL__SSLCERT'),
      sslkey: read('AUTHENTIK_POSTGRESQL__DIRECT__SSLKEY') || read('AUTHENTIK_POSTGRESQL__SSLKEY'),
      options: Object.keys(options).length > 0 ? options : read('AUTHENTIK_POSTGRESQL__CONN_OPTIONS'),
    },
    'AUTHENTIK_POSTGRESQL__DIRECT__',
  )
}
