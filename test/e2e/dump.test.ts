import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { ClientTypeEnum, MatchingModeEnum, PropertymappingsApi } from '@goauthentik/api'
import { sql } from '../../src/pg/db.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { createClient } from './http-client.ts'
import { freePort } from './installation.ts'
import { addApplication, addOutpost, configurationOf, flowId, officialClient } from './official-client.ts'
import { databaseEnv, describeSite, startService, until } from './production.ts'
import { type Seen, startUpstream } from './upstream.ts'

const callback = 'http://127.0.0.1:9/callback'

test('who reads the database finds no cookie, no code and no token that works, and no claims beside sessions', {
  timeout: 120_000,
}, async t => {
  const database = await testDatabase(t)
  const { site, api, url, corePort } = await startAll(t, database)
  const person = createClient()
  const name = 'Cassandra Quillfeather'
  const email = 'cassandra@quillfeather.example'
  const { pk } = await api.core.coreUsersCreate({
    userRequest: { username: 'cassandra', name, email, isActive: true },
  })
  const password = 'a-password-of-hers-42'
  await api.core.coreUsersSetPasswordCreate({ id: pk, userPasswordSetRequest: { password } })
  const page = await person.signIn(`${url}/`, 'cassandra', password)
  const seen = JSON.parse(page.body) as Seen
  assert.equal(seen.headers['x-authentik-name'], name)
  assert.equal(seen.headers['x-authentik-email'], email)

  const secrets: Record<string, string> = { password, 'API token': site.token }
  secrets['token of the proxied login'] = String(seen.headers['x-authentik-jwt'])
  for (const cookie of person.cookies) secrets[`cookie ${cookie.name}`] = cookie.value
  assert.ok(Object.keys(secrets).some(key => key.startsWith('cookie authentik_proxy_')))
  assert.ok('cookie authentik_session' in secrets)

  const client = await addOAuthClient(site.coreUrl, site.token)
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: client.id,
    redirect_uri: callback,
    scope: 'openid profile email offline_access',
    state: 'state',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  })
  const codes = [await codeFor(query), await codeFor(query)]
  secrets['an unused code'] = codes[0] ?? ''
  const answer = await fetch(`http://127.0.0.1:${corePort}/application/o/token/`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code: codes[1] ?? '',
      client_id: client.id,
      client_secret: client.secret,
      redirect_uri: callback,
      code_verifier: verifier,
    }),
  })
  assert.equal(answer.status, 200)
  const tokens = (await answer.json()) as Record<string, string>
  for (const kind of ['access_token', 'refresh_token', 'id_token']) {
    assert.ok(tokens[kind] !== undefined, kind)
    secrets[kind] = tokens[kind]
  }

  const dump = await dumpOf(database)
  await t.test('the dump is one of everything that was done', () => {
    for (const table of [
      'proxy_sessions',
      'sessions',
      'tokens',
      'oauth_codes',
      'oauth_access_tokens',
      'oauth_refresh_tokens',
    ])
      assert.ok((dump.get(table) ?? '').length > 100, `${table} is empty`)
    assert.ok(dump.get('users')?.includes(name))
  })
  await t.test('no secret is in any table, in no form it could be used from', () => {
    for (const [what, secret] of Object.entries(secrets))
      for (const form of formsOf(secret))
        for (const [table, text] of dump) assert.equal(text.includes(form), false, `${what} is in ${table}`)
  })
  await t.test('no claim is in clear in the tables of sessions, keys, codes and tokens', () => {
    for (const [table, text] of dump) {
      if (!withoutClaims.has(table)) continue
      for (const claim of [name, email, 'Quillfeather'])
        for (const form of [claim, hex(claim)])
          assert.equal(text.includes(form), false, `${claim} is in ${table}`)
    }
  })

  async function codeFor(query: URLSearchParams): Promise<string> {
    let at = `${site.coreUrl}/application/o/authorize/?${query}`
    for (let hop = 0; hop < 10 && !at.startsWith(callback); hop++) {
      const { headers } = await person.ask(at)
      const next = headers.location ?? (await passFlow(at))
      at = new URL(next, at).href
    }
    return new URL(at).searchParams.get('code') ?? assert.fail(at)
  }

  /** Consents where a flow asks for it. @returns where it leads */
  async function passFlow(at: string): Promise<string> {
    const { component, token, to } = await person.challenge(at)
    const end = component === 'ak-stage-consent' ? await person.challenge(at, { component, token }) : { to }
    return end.to ?? assert.fail(`${at} shows ${component}`)
  }
})

test('a request of somebody signed in costs no statement while warm, one when cold, and one in the API beside its own', {
  timeout: 120_000,
}, async t => {
  const database = await testDatabase(t)
  const all = await startAll(t, database, { POSTERN_SESSION_LEASE: '20' })
  const person = createClient()
  assert.equal((await person.signIn(`${all.url}/`, 'akadmin', all.site.password)).status, 200)
  const many = async (url: string, headers: Record<string, string> = {}) => {
    for (let at = 0; at < requests; at++) assert.equal((await person.ask(url, { headers })).status, 200)
  }

  await t.test('warm: none', async () => {
    await person.ask(`${all.url}/`)
    const statements = await database.countStatements(() => many(`${all.url}/`))
    assert.deepEqual(perRequest(statements), [])
  })

  await t.test('cold: one', async t => {
    const { program, env, url } = all.outpost
    await program.stop()
    const port = Number(new URL(url).port)
    await startService(t, 'proxy', { ...env, POSTERN_SESSION_LEASE: '0' }, { port })
    await person.ask(`${all.url}/`)
    const statements = await database.countStatements(() => many(`${all.url}/`))
    const [one = '', ...more] = perRequest(statements)
    assert.match(one, /^select [\s\S]+ from "public"\."proxy_sessions" where key_hash = /)
    assert.deepEqual(more, [])
  })

  const me = `${all.site.coreUrl}/api/v3/core/users/me/`
  const applications = `${all.site.coreUrl}/api/v3/core/applications/demo/`
  for (const [by, headers] of [
    ['cookie', {}],
    ['token', { Authorization: `Bearer ${all.site.token}` }],
  ] as const)
    await t.test(
      `API, by ${by}: one for session or token, user, groups and roles, and one of its own`,
      async () => {
        await person.ask(me, { headers })
        for (const [url, own] of [
          [me, 1],
          [applications, 1],
        ] as const) {
          const statements = await database.countStatements(() => many(url, headers))
          const mine = perRequest(statements)
          assert.equal(mine.length, 1 + own, mine.join('\n'))
        }
      },
    )
})

const withoutClaims = new Set([
  'proxy_sessions',
  'sessions',
  'tokens',
  'flow_plans',
  'oauth_codes',
  'oauth_access_tokens',
  'oauth_refresh_tokens',
])
/** of one kind, in a row */
const requests = 40
const verifier = 'a-verifier-of-at-least-forty-three-characters-0123'

/**
 * What ran once for every request. The beat, the bus and links of outposts go on meanwhile, with a handful of statements; many
 * requests tell the two apart.
 */
function perRequest(statements: string[]): string[] {
  const counts = new Map<string, number>()
  for (const text of statements) counts.set(text, (counts.get(text) ?? 0) + 1)
  const often = [...counts].filter(([, count]) => count >= requests / 2)
  for (const [text, count] of often) assert.ok(count < requests * 1.5, `${count} times: ${text}`)
  return often.map(([text]) => text)
}

async function startAll(
  t: Parameters<typeof startService>[0],
  database: TestDatabase,
  env: Record<string, string> = {},
) {
  const upstream = await startUpstream(t)
  const site = await describeSite(database.target())
  const corePort = Number(new URL(site.coreUrl).port)
  const server = await startService(t, 'server', site.env, { port: corePort })
  const api = officialClient(server.url, site.token)
  const port = await freePort()
  const url = `http://wiki.localhost:${port}`
  const provider = await addApplication(api, { slug: 'demo', externalHost: url, internalHost: upstream.url })
  const config = { authentik_host: site.coreUrl, session_backend: 'postgres' }
  const { token } = await addOutpost(api, 'edge', [provider], config)
  const given = {
    ...databaseEnv(database.target()),
    AUTHENTIK_HOST: server.url,
    AUTHENTIK_TOKEN: token,
    ...env,
  }
  const outpost = await startService(t, 'proxy', given, { port })
  await until('it is served', async () => (await createClient().ask(`${url}/`)).status === 302)
  return { site, api, url, corePort, outpost }
}

/** A confidential client of the authorization code flow. */
async function addOAuthClient(url: string, token: string): Promise<{ id: string; secret: string }> {
  const api = officialClient(url, token)
  const scopes = await new PropertymappingsApi(configurationOf(url, token)).propertymappingsProviderScopeList(
    {},
  )
  const { pk, clientId, clientSecret } = await api.providers.providersOauth2Create({
    oAuth2ProviderRequest: {
      name: 'Client',
      authorizationFlow: await flowId(api, 'default-provider-authorization-implicit-consent'),
      invalidationFlow: await flowId(api, 'default-invalidation-flow'),
      clientType: ClientTypeEnum.Confidential,
      redirectUris: [{ matchingMode: MatchingModeEnum.Strict, url: callback }],
      propertyMappings: scopes.results.map(scope => scope.pk),
    },
  })
  await api.core.coreApplicationsCreate({
    applicationRequest: { name: 'Client', slug: 'client', provider: pk },
  })
  return { id: clientId ?? '', secret: clientSecret ?? '' }
}

/** All rows of every table as PostgreSQL writes them: what a dump would hold. */
async function dumpOf({ db, schema }: TestDatabase): Promise<Map<string, string>> {
  const tables = await db.rows<{ name: string }>(
    sql`select tablename as name from pg_tables where schemaname = ${schema}`,
  )
  const dump = new Map<string, string>()
  for (const { name } of tables) {
    const rows = await db.rows<{ text: string }>(sql`select t::text as text from ${db.t(name)} t`)
    dump.set(name, rows.map(({ text }) => text).join('\n'))
  }
  return dump
}

/** A secret as text, as the bytes of its text, and, where it is base64url, as the bytes it stands for. */
function formsOf(secret: string): string[] {
  const forms = [secret, hex(secret), Buffer.from(secret).toString('base64')]
  if (/^[\w-]{32,}$/.test(secret)) forms.push(Buffer.from(secret, 'base64url').toString('hex'))
  // Of a JWT the signature is what makes it one.
  if (secret.split('.').length === 3) forms.push(secret.split('.')[2] ?? '')
  return forms
}

function hex(text: string): string {
  return Buffer.from(text).toString('hex')
}
