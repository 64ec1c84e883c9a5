// The Traefik and Envoy examples, by contract: models of the two that read the files.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { testAttacks } from './front-attacks.ts'
import { startEnvoy, startTraefik } from './front-models.ts'
import { walkBehind } from './front-walk.ts'

for (const [name, start] of [
  ['Traefik', startTraefik],
  ['Envoy', startEnvoy],
] as const) {
  test(`behind ${name}: login, identity, allow-list, upgrade, sign-out, SESSION_END`, t =>
    walkBehind(t, start))

  testAttacks(name, start)
}

test("Envoy's filter takes cookies out by the function that is tested in HAProxy", async () => {
  const read = (file: string) => readFile(join(import.meta.dirname, '../../examples', file), 'utf8')
  const own = (lua: string) => /^local function own_cookies[\s\S]*?^end$/m.exec(lua)?.[0]
  const envoy = parse(await read('envoy/ext-authz.yml')) as {
    http_connection_manager: {
      http_filters: { name: string; typed_config: { default_source_code?: { inline_string: string } } }[]
    }
  }
  const filters = envoy.http_connection_manager.http_filters
  assert.deepEqual(
    filters.map(({ name }) => name.split('.').at(-1)),
    ['ext_authz', 'lua', 'router'],
  )
  const lua = filters[1]?.typed_config.default_source_code?.inline_string ?? ''
  assert.ok(own(lua))
  assert.equal(own(lua), own(await read('haproxy/postern.lua')))
})
