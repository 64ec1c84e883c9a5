// Keys that are set and are no settings of ours: a slip of the pen stops the start, the rest is named once.
import { isReplicaKey } from './replicas.ts'
import { isSettingName, settingNames } from './table.ts'

/** Sections where a key we do not know is a mistake, because ignoring it would silently change what runs. */
const ownSections = [
  'AUTHENTIK_POSTGRESQL__',
  'AUTHENTIK_LISTEN__',
  'AUTHENTIK_OUTPOSTS__',
  'AUTHENTIK_EMAIL__',
  'POSTERN_',
]
/** For the test suite and the benchmarks; no setting of a program. */
const testing = 'POSTERN_TEST_'

/** Keys of those sections that only the reference product uses, with the reason why they do nothing here. */
const withoutEffect: Record<string, string> = {
  AUTHENTIK_EMAIL__TEMPLATE_DIR: 'mails are worded by this release',
  AUTHENTIK_LISTEN__DEBUG: 'there is no debug listener',
  AUTHENTIK_LISTEN__DEBUG_PY: 'there is no debug listener',
  AUTHENTIK_LISTEN__DEBUG_TOKIO: 'there is no debug listener',
  AUTHENTIK_LISTEN__LDAP: 'this release has no LDAP outpost',
  AUTHENTIK_LISTEN__LDAPS: 'this release has no LDAP outpost',
  AUTHENTIK_LISTEN__RADIUS: 'this release has no RADIUS outpost',
  AUTHENTIK_OUTPOSTS__CONTAINER_IMAGE_BASE: 'this release does not deploy outposts',
  AUTHENTIK_OUTPOSTS__DISCOVER: 'this release does not deploy outposts',
  AUTHENTIK_OUTPOSTS__DISABLE_EMBEDDED_OUTPOST:
    'the embedded outpost does nothing until a provider is given to it',
  AUTHENTIK_POSTGRESQL__CONN_HEALTH_CHECKS: 'connections are always checked before use',
  AUTHENTIK_POSTGRESQL__DISABLE_SERVER_SIDE_CURSORS: 'no session cursors are used',
  AUTHENTIK_POSTGRESQL__USE_POOL: 'there is always a pool',
  AUTHENTIK_POSTGRESQL__POOL_OPTIONS: 'the size of the pool follows from the program',
  AUTHENTIK_POSTGRESQL__TEST__NAME: 'tests make their own databases',
}
/** Keys of a replica that have no effect there either. */
const ofReplica = /^(AUTHENTIK_POSTGRESQL__)READ_REPLICAS__\d+__/
const removed: Record<string, string> = {
  AUTHENTIK_POSTGRESQL__TLS_POLICY:
    'TLS below 1.3 without Extended Master Secret is always refused; remove it',
}

export interface KeyJudgement {
  /** One line each; any of them stops the start. */
  problems: string[]
  notices: Notice[]
}

/** A log line about something that is set and has no effect. */
export interface Notice {
  event: string
  fields: Record<string, unknown>
}

/** Judges every key that is set. `found` maps the key to where it was found. */
export function judgeKeys(found: ReadonlyMap<string, string>): KeyJudgement {
  const judgement: KeyJudgement = { problems: [], notices: [] }
  const ignored: string[] = []
  const services = serviceNames(found)
  for (const [name, origin] of found) {
    if (
      isSettingName(name) ||
      isReplicaKey(name) ||
      name.startsWith(testing) ||
      isServiceLink(name, services)
    )
      continue
    const reason = withoutEffect[name] ?? (ofReplica.test(name) ? withoutReplicaEffect(name) : undefined)
    if (reason !== undefined) {
      judgement.notices.push({ event: 'setting has no effect', fields: { setting: name, reason } })
    } else if (name.startsWith('AUTHENTIK_REDIS__')) {
      judgement.notices.push({
        event: 'leftover setting: Redis is not used, everything is in PostgreSQL; remove it',
        fields: { setting: name },
      })
    } else if (ownSections.some(section => name.startsWith(section))) {
      judgement.problems.push(unknownKey(name, origin))
    } else ignored.push(name)
  }
  if (ignored.length > 0)
    judgement.notices.push({ event: 'settings ignored: not known here', fields: { settings: ignored } })
  return judgement
}

/** A key that works for the main database only is named, and one that is no key at all is a mistake. */
function withoutReplicaEffect(name: string): string | undefined {
  const main = name.replace(ofReplica, '$1')
  return withoutEffect[main] ?? (isSettingName(main) ? 'it holds for the main database only' : undefined)
}

/** Kubernetes gives every pod variables for each Service of its namespace; one called `postern` must not stop us. */
function serviceNames(found: ReadonlyMap<string, string>): string[] {
  const end = '_SERVICE_HOST'
  const hosts = [...found.keys()].filter(name => name.endsWith(end) && !name.includes('__'))
  return hosts.map(name => name.slice(0, -end.length))
}

function isServiceLink(name: string, services: string[]): boolean {
  return services.some(
    service =>
      name.startsWith(`${service}_`) &&
      /^(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_\w+)?)$/.test(name.slice(service.length + 1)),
  )
}

function unknownKey(name: string, origin: string): string {
  const nearest = nearestSetting(name)
  const advice =
    removed[name] ?? (nearest === undefined ? 'remove it' : `did you mean ${nearest}? Correct or remove it`)
  return `${name} (${origin}) is not a setting: ${advice}`
}

/** The setting whose name differs least, when it differs by no more than a third of its length. */
export function nearestSetting(name: string): string | undefined {
  let best: { name: string; distance: number } | undefined
  for (const candidate of settingNames) {
    const distance = editDistance(name, candidate)
    if (best === undefined || distance < best.distance) best = { name: candidate, distance }
  }
  const section = ownSections.find(start => name.startsWith(start)) ?? 'AUTHENTIK_'
  return best !== undefined && best.distance <= Math.max(2, (name.length - section.length) / 2)
    ? best.name
    : undefined
}

/** Levenshtein distance of two short texts. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, change))
    }
    row = next
  }
  return row[b.length] ?? 0
}
