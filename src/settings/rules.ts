// What settings must be together: required ones, and pairs that contradict each other.
import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import type { Settings } from '../settings.ts'
import { SettingsError } from './errors.ts'
import { rows, settingNames } from './table.ts'

const minSecretKey = 32

/** @throws SettingsError with one line per problem */
export function checkTogether(settings: Settings): void {
  const problems = [...missing(settings), ...weakSecretKey(settings), ...pooler(settings), ...mail(settings)]
  if (problems.length > 0) throw new SettingsError(problems)
  settings.postgresTarget()
  settings.directTarget()
  for (const target of settings.replicaTargets()) target()
}

function missing(settings: Settings): string[] {
  return settingNames
    .filter(name => rows[name].required?.includes(settings.program) && settings.get(name) === '')
    .map(name => `${name} is not set, and "${settings.program}" needs it: ${rows[name].help}`)
}

function weakSecretKey(settings: Settings): string[] {
  const key = settings.get('AUTHENTIK_SECRET_KEY')
  if (key === '') return []
  const name = 'AUTHENTIK_SECRET_KEY'
  const advice = 'make one with: openssl rand -base64 48'
  if (key.length < minSecretKey) return [`${name} must have at least ${minSecretKey} characters; ${advice}`]
  const known = /^django-insecure-|change[-_ ]?me|example|<.*>/i.test(key) || new Set(key).size < 8
  return known ? [`${name} is a placeholder that anyone can guess; ${advice}`] : []
}

/** Messages and migrations need a session of their own, which a transaction pooler does not give. */
function pooler(settings: Settings): string[] {
  const old = (['AUTHENTIK_POSTGRESQL__USE_PGBOUNCER', 'AUTHENTIK_POSTGRESQL__USE_PGPOOL'] as const).find(
    name => settings.get(name),
  )
  const said = settings.get('AUTHENTIK_POSTGRESQL__POOLER') === 'transaction'
  if (settings.get('AUTHENTIK_POSTGRESQL__POOLER') === 'transaction-only') return []
  if ((old === undefined && !said) || settings.program === 'proxy') return []
  if (settings.isSet('AUTHENTIK_POSTGRESQL__DIRECT__HOST')) return []
  if (settings.isSet('AUTHENTIK_POSTGRESQL__DIRECT__PORT')) return []
  const used = said ? 'AUTHENTIK_POSTGRESQL__POOLER is transaction' : `${old} is true`
  return [`${used}: set AUTHENTIK_POSTGRESQL__DIRECT__HOST to the database itself, past the pooler`]
}

/** Mail: one kind of TLS, no password in the clear, and a sender that is an address. */
function mail(settings: Settings): string[] {
  const host = settings.get('AUTHENTIK_EMAIL__HOST')
  if (host === '' || !rows.AUTHENTIK_EMAIL__HOST.programs.includes(settings.program)) return []
  const problems: string[] = []
  const [starttls, tls] = [settings.get('AUTHENTIK_EMAIL__USE_TLS'), settings.get('AUTHENTIK_EMAIL__USE_SSL')]
  if (starttls && tls)
    problems.push(
      'AUTHENTIK_EMAIL__USE_TLS (STARTTLS) and AUTHENTIK_EMAIL__USE_SSL (TLS from the first byte) exclude each other: keep one',
    )
  if (settings.get('AUTHENTIK_EMAIL__USERNAME') !== '' && !starttls && !tls && !isThisMachine(host))
    problems.push(
      `AUTHENTIK_EMAIL__USERNAME: the password would cross the network to ${host} in the clear; set AUTHENTIK_EMAIL__USE_TLS or AUTHENTIK_EMAIL__USE_SSL`,
    )
  if (domainToASCII(host) === '' && isIP(host) === 0)
    problems.push(`AUTHENTIK_EMAIL__HOST must be a host name or an address; it is ${JSON.stringify(host)}`)
  return problems
}

function isThisMachine(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
