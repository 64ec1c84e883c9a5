// Where settings stand, lowest priority first: the defaults of the table, /etc/authentik/config.yml, /etc/authentik/config.d/*.yml,
// the environment. For the proxy, `proxy.env` in the data directory fills what none of them sets.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar } from 'yaml'
import { SettingsError } from './errors.ts'
import { isSettingName, rows } from './table.ts'

export interface RawSetting {
  text: string
  /** `environment` or the path of a file */
  origin: string
}

export type RawSettings = Map<string, RawSetting>

/** The usual configuration files, in the order they are read. */
export function configFiles(root = '/etc/authentik'): string[] {
  let more: string[] = []
  try {
    more = readdirSync(join(root, 'config.d'))
  } catch (error) {
    if (!isAbsent(error)) throw unreadable(join(root, 'config.d'), error)
  }
  const names = more.filter(name => name.endsWith('.yml')).sort()
  return [join(root, 'config.yml'), ...names.map(name => join(root, 'config.d', name))]
}

/**
 * Everything set in files and environment, by the name of the variable; later sources win.
 * @throws SettingsError when a file is there and cannot be read or is not YAML
 */
export function readSources(options: {
  env: Readonly<Record<string, string | undefined>>
  files: readonly string[]
  readFile: (path: string) => string
}): RawSettings {
  const found: RawSettings = new Map()
  for (const file of options.files) {
    const text = readIfThere(file, options.readFile)
    if (text !== undefined) readYaml(file, text, found)
  }
  for (const [name, text] of Object.entries(options.env))
    if (text !== undefined && isOurs(name)) found.set(name.toUpperCase(), { text, origin: 'environment' })
  return found
}

/** Adds what a `proxy.env` says about keys nobody else sets. A missing file is none. @throws SettingsError when it cannot be read */
export function fillFromEnvFile(found: RawSettings, file: string, readFile: (path: string) => string): void {
  const text = readIfThere(file, readFile)
  if (text === undefined) return
  for (const [name, value] of Object.entries(parseEnv(text)))
    if (value !== undefined && isOurs(name) && !found.has(name))
      found.set(name, { text: value, origin: file })
}

function isOurs(name: string): boolean {
  return name.startsWith('AUTHENTIK_') || name.startsWith('POSTERN_')
}

function readIfThere(file: string, readFile: (path: string) => string): string | undefined {
  try {
    return readFile(file)
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw unreadable(file, error)
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}

function unreadable(file: string, error: unknown): SettingsError {
  const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'
  return new SettingsError([`${file} cannot be read (${reason}): make it readable or remove it`], {
    cause: error,
  })
}

/** All scalars are read as text: what type a value has is said by the settings table, and `0123` stays a password. */
function readYaml(file: string, text: string, found: RawSettings): void {
  const lines = new LineCounter()
  const document = parseDocument(text, { schema: 'failsafe', lineCounter: lines, prettyErrors: false })
  const [error] = document.errors
  if (error !== undefined) {
    const { line } = lines.linePos(error.pos[0])
    throw new SettingsError([`${file} is not valid YAML (line ${line}, ${error.code}): correct it`])
  }
  const root = document.contents
  if (root === null || (isScalar(root) && root.value === '')) return
  if (!isMap(root)) throw new SettingsError([`${file} must be a YAML mapping, such as "log_level: info"`])
  const collect = (node: Node | null | undefined, path: string[]) => {
    const name = variableName(path)
    if (isMap(node)) {
      // An options object written out as YAML instead of as JSON text.
      if (isSettingName(name) && rows[name].kind === 'connection-options') {
        found.set(name, { text: JSON.stringify(node.toJS(document)), origin: file })
        return
      }
      for (const pair of node.items) collect(pair.value as Node | null, [...path, keyText(pair.key)])
    } else if (isSeq(node)) {
      if (node.items.every(item => isScalar(item)))
        found.set(name, { text: node.items.map(item => keyText(item)).join(','), origin: file })
      else for (const [at, item] of node.items.entries()) collect(item as Node, [...path, String(at)])
    } else if (isScalar(node)) found.set(name, { text: scalarText(node, name), origin: file })
    else if (node !== null && node !== undefined)
      throw new SettingsError([`${file}: ${path.join('.')} is an alias; write the value out`])
  }
  collect(root, [])
}

/** An unquoted `null` is no text, except where the settings table gives it a meaning. */
function scalarText(node: Scalar, name: string): string {
  const text = String(node.value ?? '')
  const keepsNull = isSettingName(name) && rows[name].kind === 'age'
  return node.type === 'PLAIN' && /^(?:null|~)$/i.test(text) && !keepsNull ? '' : text
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value ?? '') : ''
}

/** `postgresql.host` is AUTHENTIK_POSTGRESQL__HOST; what stands under `postern` is POSTERN_… */
function variableName(path: string[]): string {
  const [first = '', ...rest] = path
  if (first === 'postern') return `POSTERN_${rest.join('__').toUpperCase()}`
  return `AUTHENTIK_${path.join('__').toUpperCase()}`
}
