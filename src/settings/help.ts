// The settings table as text: `--help` of a program and docs/settings.md.
import { type Program, rows, type SettingName, type SettingRow, settingNames } from './table.ts'

const kinds: Record<SettingRow['kind'], string> = {
  string: 'text',
  integer: 'whole number',
  boolean: '`true` or `false`',
  duration: 'seconds, or `hours=1;minutes=30`',
  age: 'seconds, or `null`',
  choice: 'choice',
  url: 'URL',
  listen: '`host:port`, comma-separated; empty = none',
  cidrs: 'networks, comma-separated; empty = none',
  ports: 'port, or a comma-separated list',
  'connection-options': 'JSON object, or base64 of one',
}

/** The settings one program reads, for its `--help`. */
export function settingsHelp(program: Program): string {
  const names = settingNames.filter(
    name => program === 'dump_config' || rows[name].programs.includes(program),
  )
  const lines = names.map(name => `  ${name}${shownDefault(name, program)}\n      ${plain(rows[name].help)}`)
  return `Settings (environment; any value may be file:///path?fallback or env://NAME?fallback):\n\n${lines.join('\n')}\n`
}

/** docs/settings.md. */
export function settingsPage(): string {
  return `# Settings

<!-- Made from src/settings/table.ts by \`npm run docs\`; do not edit. -->

Every setting is a variable of the environment, or a key of a YAML file: \`AUTHENTIK_POSTGRESQL__HOST\` is \`postgresql.host\`,
\`POSTERN_BASE_URL\` is \`postern.base_url\`. Sources, lowest priority first:

1. the defaults below;
2. for \`postern proxy\`: \`proxy.env\` in \`POSTERN_DATA_DIR\`, which fills only what nothing else sets;
3. \`/etc/authentik/config.yml\`;
4. \`/etc/authentik/config.d/*.yml\`, in the order of their names;
5. the environment.

Any value may be a reference. \`file:///run/secrets/password\` is the content of that file without surrounding white space,
\`env://NAME\` the value of that variable; text after \`?\` is used when there is none (\`file:///path?fallback\`). References of PostgreSQL
are followed anew for every connection, so a rotated password needs no restart. A file that cannot be read and has no fallback stops the
start; later the last value stays, with a line in the log.

A value that cannot be read, and an unknown key under \`AUTHENTIK_POSTGRESQL__\`, \`AUTHENTIK_LISTEN__\`, \`AUTHENTIK_OUTPOSTS__\`,
\`AUTHENTIK_EMAIL__\` or \`POSTERN_\`, stops the start and is named. Other \`AUTHENTIK_\` keys that are not listed here are named once in the log and ignored.
\`postern dump_config\` prints what is in force and where it comes from, without secrets.
${sections.map(section).join('')}`
}

const sections: { title: string; prefix: string }[] = [
  { title: 'General', prefix: 'AUTHENTIK_' },
  { title: 'Listeners', prefix: 'AUTHENTIK_LISTEN__' },
  { title: 'Outposts', prefix: 'AUTHENTIK_OUTPOSTS__' },
  { title: 'PostgreSQL', prefix: 'AUTHENTIK_POSTGRESQL__' },
  { title: 'Mail', prefix: 'AUTHENTIK_EMAIL__' },
  { title: 'Postern', prefix: 'POSTERN_' },
]

function section({ title, prefix }: { title: string; prefix: string }): string {
  const names = settingNames.filter(name => sectionOf(name) === prefix)
  return `
## ${title}

| variable | value | default | programs | meaning |
|---|---|---|---|---|
${names.map(tableRow).join('\n')}
`
}

/** The section with the longest matching prefix. */
function sectionOf(name: SettingName): string {
  const fitting = sections.filter(({ prefix }) => name.startsWith(prefix))
  return fitting.reduce((best, { prefix }) => (prefix.length > best.length ? prefix : best), '')
}

function tableRow(name: SettingName): string {
  const row = rows[name]
  const value =
    row.kind === 'choice'
      ? (row.values ?? []).flatMap(one => (one === '' ? [] : [`\`${one}\``])).join(' ')
      : kinds[row.kind]
  const range = row.max === undefined ? '' : `, ${row.min ?? 0} to ${row.max}`
  const start = row.startDefault === undefined ? '' : ` (\`npm start\`: \`${row.startDefault}\`)`
  const standard = row.default === '' ? '' : `\`${row.default}\`${start}`
  const required = row.required === undefined ? '' : ` Required: ${row.required.join(', ')}.`
  const secret = row.secret === undefined ? '' : ' Secret.'
  return `| \`${name}\` | ${value}${range} | ${standard} | ${row.programs.join(' ')} | ${row.help}${required}${secret} |`
}

function shownDefault(name: SettingName, program: Program): string {
  const row = rows[name]
  if (row.required?.includes(program)) return ' (required)'
  const text = program === 'start' ? (row.startDefault ?? row.default) : row.default
  return text === '' ? '' : `=${text}`
}

/** Help texts use Markdown's code quotes, which a terminal does not need. */
function plain(text: string): string {
  return text.replaceAll('`', '')
}
