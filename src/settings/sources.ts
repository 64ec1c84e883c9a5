// Where settings stand, lowest priority first: the defaults of the table, /etc/authentik/config.yml, /etc/authentik/config.d/*.yml,
// the environment. For the proxy, `proxy.env` in the data directory fills what none of them sets.
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { SettingsError } from './errors.ts'

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
    if (text !== undefined) loadYamlReader().readYaml(file, text, found)
  }
  for (const [name, text] of Object.entries(options.env))
    if (text !== undefined && isOurs(name)) found.set(name.toUpperCase(), { text, origin: 'environment' })
  return found
}

/** Synchronous, so that settings stay so; most installations have no file and never load the parser. */
function loadYamlReader(): typeof import('./yaml-file.ts') {
  return createRequire(import.meta.url)('./yaml-file.ts')
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
