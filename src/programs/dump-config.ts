// `postern dump_config`: every setting as it is in effect, with its origin; secrets are masked.
import { dumpSettings, type Settings } from '../settings.ts'

/** @returns exit code */
export function dumpConfig(settings: Settings): number {
  const rows = dumpSettings(settings)
  const width = Math.max(...rows.map(row => row.name.length))
  for (const { name, value, origin } of rows)
    process.stdout.write(`${name.padEnd(width)}  ${value === '' ? '(empty)' : value}  [${origin}]\n`)
  return 0
}
