// A YAML file of settings. Loaded only where there is one: the parser would cost every outpost 14 MB.
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar } from 'yaml'
import { SettingsError } from './errors.ts'
import type { RawSettings } from './sources.ts'
import { isSettingName, rows } from './table.ts'

/** All scalars are read as text: what type a value has is said by the settings table, and `0123` stays a password. */
export function readYaml(file: string, text: string, found: RawSettings): void {
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
