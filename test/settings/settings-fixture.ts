// Settings from texts instead of from this machine's files.
import { loadSettings, type Program, type Settings, SettingsError } from '../../src/settings.ts'

/** The two settings without which a proxy does not start. */
export const outpostEnv = { AUTHENTIK_HOST: 'https://core.example', AUTHENTIK_TOKEN: 'a token' }
export const goodKey = 'kP9vQ2xW7zR4tY6uI8oA1sD3fG5hJ0lZ'

export interface Given {
  /** default proxy */
  program?: Program
  env?: Record<string, string>
  /** leave out host and token */
  bare?: boolean
  /** path to content; the configuration files are those under /etc/authentik, in order */
  files?: Record<string, string>
}

export function load({ program = 'proxy', env = {}, bare = false, files = {} }: Given): Settings {
  return loadSettings({
    program,
    env: bare ? env : { ...outpostEnv, ...env },
    files: Object.keys(files).filter(path => path.startsWith('/etc/authentik/')),
    readFile: path => files[path] ?? absent(),
  })
}

/** One line per problem; fails when the settings load. */
export function problemsOf(given: Given): readonly string[] {
  try {
    load(given)
  } catch (error) {
    if (error instanceof SettingsError) return error.problems
    throw error
  }
  throw new Error('expected a SettingsError')
}

export function absent(): never {
  throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
}
