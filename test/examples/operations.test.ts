// What docs/operations.md tells people to run and to look at, run and looked at.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { settingNames } from '../../src/settings/table.ts'
import { checkout } from '../checkout.ts'
import { databaseEnv, describeSite, startService } from '../e2e/production.ts'
import { eventually } from '../pg/eventually.ts'
import { testDatabase } from '../postgres.ts'
import { startProgram } from '../programs.ts'
import { readPromql } from './promql.ts'

const page = await readFile(join(checkout, 'docs/operations.md'), 'utf8')

/** The text of one chapter. */
function chapter(title: string): string {
  const found = page.split(/^## /m).find(part => part.startsWith(`${title}\n`))
  assert.ok(found !== undefined, `there is a chapter "${title}"`)
  return found
}

/** Lines of the code blocks in a language. */
function blocks(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map(
    match => match[1] ?? '',
  )
}

test('who comes from Redis can run the commands before, and the queries after', {
  timeout: 180_000,
}, async t => {
  const redis = chapter('Coming from a Redis-backed installation')
  const database = await testDatabase(t, { migrated: false })
  const site = await describeSite(database.target())
  const leftovers = { AUTHENTIK_REDIS__HOST: 'redis', AUTHENTIK_REDIS__PASSWORD: 'r3dis-secret' }
  const env = { ...databaseEnv(database.target()), ...leftovers }
  const commands = blocks(redis, 'sh')
    .join('')
    .split('\n')
    .map(line => line.replace(/#.*/, '').trim())
    .filter(line => line !== '')
  assert.deepEqual(commands, ['postern migrate --plan', 'postern doctor'])
  for (const command of commands) {
    const program = startProgram(t, command.split(' ').slice(1), env)
    await program.ended
    const output = program.output()
    assert.doesNotMatch(output, /r3dis-secret/)
    if (command === 'postern migrate --plan') assert.match(output, /^0001_platform: \d+ statements/m, output)
    else assert.match(output, /AUTHENTIK_REDIS__HOST/, output)
  }
  const tables = await database.db.rows(sql`select 1 from pg_tables where schemaname = 'public'`)
  assert.deepEqual(tables, [], 'neither command changed anything')

  const server = await startService(
    t,
    'server',
    { ...site.env, ...leftovers },
    { port: Number(new URL(site.coreUrl).port) },
  )
  const worker = await startService(t, 'worker', { ...site.env, ...leftovers })
  for (const { program } of [server, worker]) {
    const named = program
      .output()
      .match(/"setting":"AUTHENTIK_REDIS__\w+","event":"leftover setting: Redis is not used/g)
    assert.equal(named?.length, 2, program.output())
    assert.doesNotMatch(program.output(), /r3dis-secret/)
  }
  const queries = blocks(redis, 'sql')
    .join('')
    .split(/;\s*$/m)
    .map(text => text.trim())
    .filter(text => text !== '')
  assert.equal(queries.length, 3)
  const [askForLeases = ''] = queries
  await eventually(async () => (await database.db.rows(sql.raw(askForLeases))).length > 0)
  const answers = []
  for (const text of queries) answers.push(await database.db.rows<Record<string, unknown>>(sql.raw(text)))
  const [leases, sessions, connections] = answers
  assert.deepEqual(Object.keys(leases?.[0] ?? {}), ['key', 'node', 'fence', 'expires_at'])
  assert.deepEqual(Object.keys(sessions?.[0] ?? {}), ['core', 'outposts'])
  const names = connections?.map(row => String(row.application_name)) ?? []
  for (const role of ['server', 'worker'])
    assert.ok(
      names.some(name => name.startsWith(`postern/${role}/`) && name.endsWith('/direct')),
      `${role} in ${names.join(', ')}`,
    )
})

test('every setting and metric the page names exists', async () => {
  const text = await readFile(join(checkout, 'examples/grafana/postern.json'), 'utf8')
  const { panels } = JSON.parse(text) as { panels: { targets?: { expr: string }[] }[] }
  const known = new Set(
    panels.flatMap(({ targets = [] }) =>
      targets.flatMap(({ expr }) =>
        readPromql(expr).selectors.map(({ metric }) => metric.replace(/_(count|sum|bucket)$/, '')),
      ),
    ),
  )
  const metrics = [...page.matchAll(/`((?:authentik|tasks)_[a-z_]+)(?:\{[^`]*\})?`/g)].map(
    match => match[1] ?? '',
  )
  assert.ok(metrics.length > 10)
  assert.deepEqual(
    metrics.filter(name => !known.has(name)),
    [],
    'these are in no panel of the dashboard, which is compared with what is exported',
  )
  const settings = new Set<string>(settingNames)
  const named = [...page.matchAll(/`((?:AUTHENTIK|POSTERN)_[A-Z_]*[A-Z])(?:=[^`]*)?`/g)].map(
    match => match[1] ?? '',
  )
  assert.ok(named.length > 20)
  assert.deepEqual(
    named.filter(name => !settings.has(name)),
    [],
  )
})
