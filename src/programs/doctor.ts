// `postern doctor`: looks at the database from every side, changes nothing, and says what to do.
import { examine } from '../pg/doctor/examine.ts'
import type { Finding } from '../pg/doctor/finding.ts'
import { loadMigrations } from '../pg/migrations.ts'
import type { Settings } from '../settings.ts'
import { version } from '../version.ts'
import { migrationsDirectory } from './database.ts'

/**
 * Prints one line per finding, or with `--json` an array of them.
 * @returns exit code: 0, or 1 when there is an error among them, or 2 for a word that is not known
 */
export async function runDoctor(settings: Settings, words: string[]): Promise<number> {
  const unknown = words.find(word => word !== '--json')
  if (unknown !== undefined) {
    process.stderr.write(`postern doctor: there is no option "${unknown}"; known: --json\n`)
    return 2
  }
  const findings = await examine({
    main: settings.postgresTarget(),
    direct: settings.directTarget(),
    polls: settings.get('AUTHENTIK_POSTGRESQL__POOLER') === 'transaction-only',
    replicas: settings.replicaTargets().map(target => target()),
    schema: settings.get('AUTHENTIK_POSTGRESQL__DEFAULT_SCHEMA'),
    migrations: await loadMigrations(migrationsDirectory),
    appVersion: version,
    idleSettings: settings
      .notices()
      .map(({ event, fields }) => [event, ...Object.values(fields).flat()].join(' · ')),
  })
  process.stdout.write(words.includes('--json') ? `${JSON.stringify(findings, null, 2)}\n` : report(findings))
  return findings.some(({ level }) => level === 'error') ? 1 : 0
}

function report(findings: Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length))
  const lines = findings.map(({ check, level, text, todo }) => {
    const advice = todo === undefined ? '' : ` → ${todo}`
    return `${level.padEnd(7)}  ${check.padEnd(width)}  ${`${text}${advice}`.replace(/\s+/g, ' ')}`
  })
  const count = (level: string) => findings.filter(finding => finding.level === level).length
  return `${lines.join('\n')}\n${count('error')} errors, ${count('warning')} warnings\n`
}
