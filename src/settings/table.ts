// The settings table: every setting of every program, once. Help texts, docs/settings.md and the check of unknown keys come from it.
// PostgreSQL's rows are in postgres-keys.ts, those of mail in email-keys.ts.
import { emailRows } from './email-keys.ts'
import { postgresRows } from './postgres-keys.ts'

export const programs = [
  'start',
  'server',
  'worker',
  'proxy',
  'migrate',
  'doctor',
  'dump_config',
  'healthcheck',
  'test-email',
] as const
export type Program = (typeof programs)[number]

export type SettingKind =
  | 'string'
  | 'integer'
  | 'boolean'
  | 'duration' // seconds, or `hours=1;minutes=30`
  | 'age' // seconds; 0 and less = the default, `null` = for ever
  | 'choice' // one of `values`, any case
  | 'url' // http or https, no user, no query
  | 'listen' // `host:port`, comma-separated; empty = no such listener
  | 'cidrs' // networks, comma-separated; empty = none
  | 'ports' // one port, or a comma-separated list
  | 'connection-options' // JSON object, or base64 of one

export interface SettingRow {
  kind: SettingKind
  /** As text, in the form an operator would write it. */
  default: string
  /** The default of `npm start` where it differs. */
  startDefault?: string
  values?: readonly string[]
  min?: number
  max?: number
  secret?: true
  /** Programs that do not start without it. */
  required?: readonly Program[]
  /** An empty text is refused. */
  filled?: true
  programs: readonly Program[]
  help: string
}

const serving: readonly Program[] = ['start', 'server']
const core: readonly Program[] = ['start', 'server', 'worker']
const outpost: readonly Program[] = ['proxy']
const listening: readonly Program[] = ['start', 'server', 'proxy']
const running: readonly Program[] = ['start', 'server', 'worker', 'proxy']

export const settingsTable = {
  AUTHENTIK_HOST: {
    kind: 'url',
    default: '',
    required: outpost,
    programs: outpost,
    help: 'Base URL of Core, as this outpost reaches it.',
  },
  AUTHENTIK_TOKEN: {
    kind: 'string',
    default: '',
    secret: true,
    required: outpost,
    programs: outpost,
    help: "API token of the outpost's service account.",
  },
  AUTHENTIK_INSECURE: {
    kind: 'boolean',
    default: 'false',
    programs: outpost,
    help: 'Do not verify the TLS certificate of Core. For trying out only.',
  },
  AUTHENTIK_HOST_BROWSER: {
    kind: 'url',
    default: '',
    programs: outpost,
    help: 'Base URL browsers use for Core, when it differs from AUTHENTIK_HOST.',
  },
  AUTHENTIK_SECRET_KEY: {
    kind: 'string',
    default: '',
    secret: true,
    required: ['server', 'worker'],
    programs: core,
    help: 'Seals what the database keeps secret; at least 32 characters, the same for every process. `npm start` makes one in its data directory.',
  },
  AUTHENTIK_LISTEN__HTTP: {
    kind: 'listen',
    default: '0.0.0.0:9000',
    startDefault: '127.0.0.1:9000',
    programs: listening,
    help: 'Addresses of the plain HTTP listener.',
  },
  AUTHENTIK_LISTEN__HTTPS: {
    kind: 'listen',
    default: '0.0.0.0:9443',
    startDefault: '127.0.0.1:9443',
    programs: listening,
    help: 'Addresses of the TLS listener.',
  },
  AUTHENTIK_LISTEN__METRICS: {
    kind: 'listen',
    default: '0.0.0.0:9300',
    startDefault: '127.0.0.1:9300',
    programs: [...running, 'healthcheck'],
    help: 'Addresses of the listener for metrics, health and ping.',
  },
  AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS: {
    kind: 'cidrs',
    default: '127.0.0.0/8,::1/128',
    programs: listening,
    help: 'Front proxies whose forwarded headers and PROXY protocol are believed.',
  },
  AUTHENTIK_LOG_LEVEL: {
    kind: 'choice',
    values: ['trace', 'debug', 'info', 'warning', 'error'],
    default: 'info',
    programs: [...running, 'migrate', 'doctor', 'healthcheck', 'test-email'],
    help: "Lowest level that is logged. For a standalone outpost Core's setting for the outpost replaces it.",
  },
  AUTHENTIK_COOKIE_DOMAIN: {
    kind: 'string',
    default: '',
    programs: serving,
    help: "Domain of Core's own cookies; empty = the exact host, which is safest.",
  },
  AUTHENTIK_BOOTSTRAP_PASSWORD: {
    kind: 'string',
    default: '',
    secret: true,
    programs: core,
    help: 'Password of the first administrator `akadmin`; read only while the installation has none.',
  },
  AUTHENTIK_BOOTSTRAP_TOKEN: {
    kind: 'string',
    default: '',
    secret: true,
    programs: core,
    help: 'Key of an API token for `akadmin`; read only at the first start.',
  },
  AUTHENTIK_BOOTSTRAP_EMAIL: {
    kind: 'string',
    default: '',
    programs: core,
    help: 'E-mail address of `akadmin`; read only at the first start.',
  },
  AUTHENTIK_STORAGE__MEDIA__FILE__PATH: {
    kind: 'string',
    default: '/data/media',
    startDefault: '.postern/media',
    programs: core,
    help: 'Folder of uploaded icons and logos; replicas share it. Empty = no uploads. `npm start` takes `media` in POSTERN_DATA_DIR.',
  },
  AUTHENTIK_OUTPOSTS__SESSION_BACKEND: {
    kind: 'choice',
    values: ['postgres', 'postgresql', 'filesystem', ''],
    default: '',
    programs: outpost,
    help: "Where a standalone outpost keeps sessions, unless Core's `session_backend` says; empty = filesystem.",
  },
  ...postgresRows,
  ...emailRows,
  POSTERN_BASE_URL: {
    kind: 'url',
    default: '',
    required: ['server', 'worker'],
    programs: core,
    help: 'The one public URL of Core: issuer, links and cookies follow it. `npm start` takes http://localhost and its port.',
  },
  POSTERN_DATA_DIR: {
    kind: 'string',
    default: '.postern',
    filled: true,
    programs: ['start', 'proxy'],
    help: 'Folder where `npm start` keeps its database, keys and `proxy.env`, which `npm run proxy` reads.',
  },
  POSTERN_MIGRATE: {
    kind: 'choice',
    values: ['apply', 'off'],
    default: 'apply',
    programs: ['server', 'worker'],
    help: '`off`: the start only checks the schema and leaves changing it to `postern migrate`.',
  },
  POSTERN_SETUP_TOKEN: {
    kind: 'string',
    default: '',
    secret: true,
    programs: serving,
    help: 'When set, the initial set-up page asks for it, so that only you can take a fresh installation.',
  },
  POSTERN_SESSION_DIR: {
    kind: 'string',
    default: '',
    programs: outpost,
    help: "Folder of the filesystem sessions; empty = one of the outpost's own in the system's temporary folder.",
  },
  POSTERN_SESSION_LEASE: {
    kind: 'duration',
    default: '2',
    min: 0,
    max: 30,
    programs: listening,
    help: 'How long an outpost may answer from memory, at most 30 seconds: the bound of a revocation whose message was lost.',
  },
  POSTERN_REPLAY_FORMS: {
    kind: 'integer',
    default: '0',
    min: 0,
    max: 2700,
    programs: listening,
    help: 'Forms up to this many bytes that were sent after the end of a session are sent again after the login (mode proxy); 0 = none.',
  },
  POSTERN_TASKS_MAX_QUEUED: {
    kind: 'integer',
    default: '100000',
    min: 100,
    max: 10_000_000,
    programs: core,
    help: 'Tasks that may wait in a queue; above it a change that asks for another is refused, unless the task is critical.',
  },
} as const satisfies Record<string, SettingRow>

export type SettingName = keyof typeof settingsTable

/** The table's rows under their general type. */
export const rows: Record<SettingName, SettingRow> = settingsTable
export const settingNames = Object.keys(settingsTable) as SettingName[]

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(settingsTable, name)
}
