// Whatever an administrator's program asks of the API: an answer or a refusal, never a failure inside.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { json, runs, send, sound, text } from './hostile.ts'
import { addPerson, startWholeCore } from './whole-core.ts'

interface Schema {
  type?: string
  format?: string
  enum?: unknown[]
  anyOf?: Schema[]
  items?: Schema
  properties?: Record<string, Schema>
  required?: string[]
}

const integers = [
  '0',
  '-1',
  '1',
  '1e20',
  '2147483647',
  '2147483648',
  '9007199254740993',
  '99999999999999999999',
  '1.5',
]
const times = [
  ...['0000-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '2024-12-31T23:59:60Z', '2024-02-30T00:00:00+23:59'],
  ...['2024-01-01T00:00:00.123456789Z', '2024-01-01T00:00:00'],
]
const uuids = [
  '00000000-0000-0000-0000-000000000000',
  'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF',
  '{00000000-0000-0000-0000-000000000000}',
]

/** Values that pass the schema, or nearly, as text. */
function near(schema: Schema): fc.Arbitrary<string> {
  if (schema.items !== undefined) return near(schema.items)
  if (schema.anyOf?.[0] !== undefined) return near(schema.anyOf[0])
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum.map(String))
  if (schema.type === 'integer') return fc.constantFrom(...integers)
  if (schema.type === 'boolean') return fc.constantFrom('true', 'false', '1', '')
  if (schema.format === 'date-time') return fc.constantFrom(...times)
  if (schema.format === 'uuid') return fc.constantFrom(...uuids)
  return fc.oneof(text, fc.constantFrom('{"a":"\\ud800"}', '{"a":"\\u0000"}', '{}'))
}

test('whatever filters, orderings and pages are asked for, lists answer or refuse', async t => {
  const test = await startWholeCore(t)
  const admin = await addPerson(test, 'boss', { superuser: true })
  const headers = { authorization: `Bearer ${admin.key}` }
  const parameters = test.routes.flatMap(route => {
    const { properties = {} } = (route.schema?.querystring ?? {}) as Schema
    const isList = route.method === 'GET' && route.url.startsWith('/api/v3/') && !/:|executor/.test(route.url)
    return isList
      ? Object.entries(properties).map(([name, schema]) => ({ url: route.url, name, schema }))
      : []
  })
  assert.ok(parameters.length > 200, `${parameters.length} parameters`)
  const order = fc.constantFrom(
    'pk',
    '-name',
    '--name',
    'name,pk',
    'password',
    'name desc',
    'name;',
    'key_hash',
  )
  const query = fc.constantFrom(...parameters).chain(({ url, name, schema }) =>
    fc.record({
      url: fc.constant(url),
      filter: fc.tuple(fc.constant(name), fc.oneof({ weight: 4, arbitrary: near(schema) }, text)),
      ordering: fc.option(order, { freq: 3 }),
    }),
  )
  await fc.assert(
    fc.asyncProperty(query, async ({ url, filter: [name, value], ordering }) => {
      const search = new URLSearchParams({ [name]: value.toWellFormed() })
      if (ordering !== null) search.set('ordering', ordering)
      await sound(test, `${url}?${search}`, await send(test, `${url}?${search}`, { headers }))
    }),
    { ...runs, numRuns: 500 },
  )
})

test('values at the edge of what columns take are refused by name, not by a failure', async t => {
  const test = await startWholeCore(t)
  const admin = await addPerson(test, 'boss', { superuser: true })
  const headers = { authorization: `Bearer ${admin.key}` }
  for (const query of [
    ...[
      'users/?page=1e20',
      'users/?date_joined__lt=0000-01-01T00:00:00Z',
      'users/?attributes={"a":"\\ud800"}',
    ],
    ...[
      'users/paths/?search=%00',
      'groups/?members_by_pk=2147483648',
      'tokens/?expires=0000-01-01T00:00:00Z',
    ],
  ]) {
    const response = await send(test, `/api/v3/core/${query}`, { headers })
    assert.equal(response.status, 400, query)
    assert.equal(((await response.json()) as { code: string }).code, 'invalid', query)
  }
  assert.deepEqual(test.failures, [])
})

test('whatever body is sent to make something, it is made or refused', async t => {
  const test = await startWholeCore(t)
  const admin = await addPerson(test, 'boss', { superuser: true })
  const headers = { authorization: `Bearer ${admin.key}`, 'content-type': 'application/json' }
  const routes = test.routes.filter(
    ({ method, url, schema }) =>
      method === 'POST' &&
      url.startsWith('/api/v3/') &&
      !/:|executor|generate/.test(url) &&
      schema?.body !== undefined,
  )
  assert.ok(routes.length >= 10, `${routes.length} routes`)
  const request = fc.constantFrom(...routes).chain(({ url, schema }) => {
    const { properties = {}, required = [] } = (schema?.body ?? {}) as Schema
    const sane = Object.fromEntries(required.map(name => [name, saneValue(properties[name] ?? {})]))
    const changes = fc.dictionary(fc.constantFrom(...Object.keys(properties)), fc.oneof(json, edge), {
      maxKeys: 2,
    })
    return fc.record({ url: fc.constant(url), body: changes.map(changed => ({ ...sane, ...changed })) })
  })
  await fc.assert(
    fc.asyncProperty(request, async ({ url, body }) => {
      const sent = JSON.stringify(body)
      await sound(test, `${url} ${sent}`, await send(test, url, { method: 'POST', headers, body: sent }))
    }),
    { ...runs, numRuns: 250 },
  )
})

const edge = fc.constantFrom<unknown>(
  ...[2147483648, -1, 1e20, 1.5, null, [], {}, { a: '\ud800' }, { a: '\0' }, [1], ['\0'], true],
  ...['0000-01-01T00:00:00Z', 'hours=99999999999999999999', [{ matching_mode: 'regex', url: '((' }]],
)
let made = 0

/** Something the schema takes. */
function saneValue(schema: Schema): unknown {
  if (schema.enum !== undefined) return schema.enum[0]
  if (schema.anyOf?.[0] !== undefined) return saneValue(schema.anyOf[0])
  if (schema.type === 'integer') return 1
  if (schema.type === 'boolean') return false
  if (schema.type === 'array') return []
  if (schema.type === 'object') return {}
  if (schema.format === 'uuid') return uuids[0]
  return schema.format === 'date-time' ? times[1] : `made-${made++}`
}
