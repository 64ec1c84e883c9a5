// The dashboard in examples/grafana against what a server, a worker and an outpost really export.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { checkout } from '../checkout.ts'
import { createClient } from '../e2e/http-client.ts'
import { freePort } from '../e2e/installation.ts'
import { addApplication, addOutpost, officialClient } from '../e2e/official-client.ts'
import { databaseEnv, describeSite, startService, until } from '../e2e/production.ts'
import { startUpstream } from '../e2e/upstream.ts'
import { testDatabase } from '../postgres.ts'
import { readPromql } from './promql.ts'

interface Panel {
  type: string
  title: string
  description?: string
  fieldConfig?: { defaults: { unit?: string } }
  targets?: { expr: string; legendFormat: string }[]
  gridPos: { x: number; y: number; w: number; h: number }
}

interface Dashboard {
  panels: Panel[]
  templating: { list: { name: string; type: string; definition?: string }[] }
}

const folder = join(checkout, 'examples/grafana')
/** Prometheus adds them to every series. */
const added = ['instance', 'job']

async function dashboard(): Promise<Dashboard> {
  return JSON.parse(await readFile(join(folder, 'postern.json'), 'utf8')) as Dashboard
}

test('every panel says what it shows, in which unit, and stands beside the others', async () => {
  const { panels, templating } = await dashboard()
  assert.deepEqual(
    templating.list.map(({ name, type }) => [name, type]),
    [
      ['datasource', 'datasource'],
      ['instance', 'query'],
    ],
  )
  const titles = new Set<string>()
  const taken = new Set<string>()
  for (const { type, title, description, fieldConfig, targets, gridPos } of panels) {
    assert.ok(title !== '' && !titles.has(title), `title "${title}"`)
    titles.add(title)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.ok(x < 24 && !taken.has(`${x} ${y}`), `"${title}" lies over another panel`)
        taken.add(`${x} ${y}`)
      }
    if (type === 'row') continue
    assert.ok((description ?? '') !== '', `"${title}" has no description`)
    assert.ok((fieldConfig?.defaults.unit ?? '') !== '', `"${title}" has no unit`)
    assert.ok((targets ?? []).length > 0, `"${title}" asks nothing`)
  }
  for (const part of ['Core', 'Outposts', 'Tasks', 'Sessions', 'Messages and leases', 'Cache', 'PostgreSQL'])
    assert.ok(titles.has(part), part)
})

test('every metric, label and value a query names is exported', { timeout: 180_000 }, async t => {
  const exported = await exportedByAll(t)
  const { panels, templating } = await dashboard()
  const problems: string[] = []
  let asked = 0
  const check = (where: string, expression: string, legend = '') => {
    const { selectors, grouping } = readPromql(expression)
    const labels = new Set<string>(added)
    for (const { metric, matchers } of selectors) {
      asked++
      const series = exported.get(metric)
      if (series === undefined) {
        problems.push(`${where}: there is no metric ${metric}`)
        continue
      }
      for (const one of series) for (const label of Object.keys(one)) labels.add(label)
      for (const { label, operator, value } of matchers) {
        if (added.includes(label)) continue
        if (!series.some(one => label in one)) problems.push(`${where}: ${metric} has no label ${label}`)
        else if (operator === '=' && !series.some(one => one[label] === value))
          problems.push(`${where}: no series of ${metric} has ${label}="${value}"`)
      }
    }
    const shown = [...legend.matchAll(/\{\{\s*(\w+)\s*\}\}/g)].map(match => match[1] ?? '')
    for (const label of [...grouping, ...shown])
      if (!labels.has(label)) problems.push(`${where}: nothing it asks for has a label ${label}`)
    if (grouping.length > 0)
      for (const label of shown)
        if (!grouping.includes(label))
          problems.push(`${where}: the legend names ${label}, which is grouped away`)
  }
  for (const { title, targets = [] } of panels)
    for (const { expr, legendFormat } of targets) check(title, expr, legendFormat)
  for (const { name, definition } of templating.list) {
    const query = /^label_values\((.+), (\w+)\)$/.exec(definition ?? '')
    if (definition !== undefined) check(`variable ${name}`, query?.[1] ?? '')
  }
  t.diagnostic(`${asked} selectors in ${panels.length} panels, ${exported.size} metrics exported`)
  assert.ok(asked > 60)
  assert.deepEqual(problems, [])
})

test('the example for Prometheus scrapes the metrics listener under the job the dashboard looks for', async () => {
  const { scrape_configs: jobs } = parse(await readFile(join(folder, 'prometheus.yml'), 'utf8')) as {
    scrape_configs: { job_name: string; metrics_path: string; static_configs: { targets: string[] }[] }[]
  }
  const [job] = jobs
  const { templating } = await dashboard()
  assert.ok(templating.list.some(({ definition }) => definition?.includes(`job="${job?.job_name}"`)))
  assert.equal(job?.metrics_path, '/metrics')
  assert.ok(job.static_configs[0]?.targets.every(target => target.endsWith(':9300')))
})

type Exported = Map<string, Record<string, string>[]>

/** Series by metric of all three programs, after a sign-in, a request through the outpost, and a task. */
async function exportedByAll(t: TestContext): Promise<Exported> {
  const database = await testDatabase(t, { migrated: false })
  const upstream = await startUpstream(t)
  const site = await describeSite(database.target())
  const server = await startService(t, 'server', site.env, { port: Number(new URL(site.coreUrl).port) })
  const worker = await startService(t, 'worker', site.env)
  const api = officialClient(server.url, site.token)
  const port = await freePort()
  const url = `http://app.localhost:${port}`
  const provider = await addApplication(api, { slug: 'app', externalHost: url, internalHost: upstream.url })
  const { token } = await addOutpost(api, 'edge', [provider], {
    authentik_host: site.coreUrl,
    session_backend: 'postgres',
  })
  const outpost = await startService(
    t,
    'proxy',
    { ...databaseEnv(database.target()), AUTHENTIK_HOST: server.url, AUTHENTIK_TOKEN: token },
    { port },
  )
  const page = await createClient().signIn(`${url}/`, 'akadmin', site.password)
  assert.equal(page.status, 200)
  await createClient().ask(`${server.url}/if/flow/default-authentication-flow/`)
  const scrape = async (metricsUrl: string) => (await fetch(`${metricsUrl}/metrics`)).text()
  // Figures of tasks are gathered by a task of their own and remembered for ten seconds.
  await until(
    'a task has run and is counted',
    async () => /^tasks_duration_seconds_bucket\{/m.test(await scrape(worker.metricsUrl)),
    100_000,
  )
  const exported: Exported = new Map()
  collect(exported, await scrape(worker.metricsUrl))
  // Now nobody works, and one task waits.
  await worker.program.stop()
  const headers = { Authorization: `Bearer ${site.token}` }
  const schedules = (await (
    await fetch(`${server.url}/api/v3/tasks/schedules/?actor_name=clean_expired_models`, { headers })
  ).json()) as { results: { id: string }[] }
  const sent = await fetch(`${server.url}/api/v3/tasks/schedules/${schedules.results[0]?.id}/send/`, {
    method: 'POST',
    headers,
  })
  assert.ok(sent.ok, `${sent.status} ${await sent.text()}`)
  await until(
    'a task waits and is counted',
    async () => /^tasks_queued\{/m.test(await scrape(server.metricsUrl)),
    60_000,
  )
  for (const service of [server, outpost]) collect(exported, await scrape(service.metricsUrl))
  return exported
}

/** Prometheus' text format, as far as it is used. */
function collect(into: Exported, text: string): void {
  for (const line of text.split('\n')) {
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/.exec(line)
    if (sample === null) continue
    const [, name = '', labels = ''] = sample
    const found: Record<string, string> = {}
    for (const [, label = '', value = ''] of labels.matchAll(/(\w+)="((?:\\.|[^"\\])*)"/g))
      found[label] = value
    into.set(name, [...(into.get(name) ?? []), found])
  }
}
