// A Core with the OIDC room and the flows behind a real listener, on a database of its own; and the rows a test starts from.
import { randomBytes, randomUUID } from 'node:crypto'
import type { TestContext } from 'node:test'
import type { CoreApp } from '../../src/core/app.ts'
import type { Core } from '../../src/core/core.ts'
import { createSelfSigned } from '../../src/core/crypto/self-signed.ts'
import { createFlows, type Flows } from '../../src/core/flows/flows.ts'
import { registerFlowRoutes } from '../../src/core/flows/routes.ts'
import { managedScopes } from '../../src/core/oidc/claims.ts'
import { oidcFlowEnds, registerOidcRoutes } from '../../src/core/oidc/routes.ts'
import { sha256 } from '../../src/core/secrets.ts'
import { sql } from '../../src/pg/db.ts'
import { bareCore, listen, originOf, serve } from '../core/bare-core.ts'
import { openSession } from '../core/people.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'

export interface TestCore {
  core: Core
  app: CoreApp
  flows: Flows
  database: TestDatabase
  /** `http://127.0.0.1:<port>` */
  base: string
  /** moves `core.now()` */
  advance(ms: number): void
}

export async function startCore(t: TestContext): Promise<TestCore> {
  const database = await testDatabase(t)
  const server = await listen()
  const base = originOf(server)
  let offset = 0
  const core = bareCore(database.db, {
    baseUrl: new URL(base),
    now: () => new Date(Date.now() + offset),
  })
  const flows = createFlows({ core, ends: oidcFlowEnds })
  const register = (app: CoreApp) => {
    registerFlowRoutes(app, core, flows)
    registerOidcRoutes(app, core, flows)
  }
  const { app } = await serve(t, core, register, server)
  await database.db.count(sql`insert into installation (id, secret_key_fingerprint, setup_completed)
    values (${core.installationId}, ${core.secrets.fingerprint}, true)`)
  for (const scope of managedScopes)
    await database.db.count(sql`insert into property_mappings (managed, name, scope_name, description, expression)
      values (${scope.managed}, ${scope.name}, ${scope.scopeName}, ${scope.description}, ${scope.expression})`)
  await addFlow(database, 'default-authentication-flow', 'authentication', [['deny', {}]])
  await database.db.count(sql`insert into brands (domain, is_default, flow_authentication_id)
    select 'authentik-default', true, id from flows where designation = 'authentication'`)
  return {
    core,
    app,
    flows,
    database,
    base,
    advance: ms => {
      offset += ms
    },
  }
}

export async function addFlow(
  { db }: TestDatabase,
  slug: string,
  designation: string,
  stages: [string, object][] = [],
): Promise<string> {
  const flow = await db.first<{ id: string }>(sql`insert into flows (slug, name, title, designation)
    values (${slug}, ${slug}, ${slug}, ${designation}) returning id`)
  for (const [order, [type, config]] of stages.entries())
    await db.count(sql`
      with stage as (
        insert into stages (type, name, config) values (${type}, ${`${slug} ${order}`}, ${JSON.stringify(config)}) returning id
      ) insert into flow_stage_bindings (flow_id, stage_id, "order") select ${flow!.id}, id, ${order} from stage`)
  return flow!.id
}

export interface TestUser {
  id: number
  uid: string
  username: string
  /** value of the Cookie header of a browser that is signed in */
  cookie: string
  sessionId: string
}

export async function addUser(
  { core, database }: TestCore,
  username: string,
  options: { attributes?: object; active?: boolean } = {},
): Promise<TestUser> {
  const uid = randomBytes(32).toString('hex')
  const row = await database.db.first<{ id: number }>(sql`
    insert into users (uuid, uid, username, name, email, attributes, is_active)
    values (${randomUUID()}, ${uid}, ${username}, ${`${username} the tester`}, ${`${username}@example.com`},
      ${JSON.stringify(options.attributes ?? {})}, ${options.active ?? true}) returning id`)
  const signedIn = await signIn({ core }, row!.id)
  return { id: row!.id, uid, username, ...signedIn }
}

export async function signIn(
  { core }: Pick<TestCore, 'core'>,
  userId: number,
): Promise<{ cookie: string; sessionId: string }> {
  const { id, value } = await openSession(core, userId)
  return { cookie: `authentik_session=${value}`, sessionId: id }
}

export interface TestClient {
  providerId: number
  slug: string
  applicationId: string
  clientId: string
  clientSecret: string
  redirectUri: string
}

export interface ClientOptions {
  type?: 'confidential' | 'public'
  grants?: string[]
  redirectUris?: {
    matching_mode: 'strict' | 'regex'
    url: string
    redirect_uri_type: 'authorization' | 'logout'
  }[]
  /** scope names; default all that are harmless and offline_access */
  scopes?: string[]
  authorizationFlowId?: string
  invalidationFlowId?: string
  /** default none: HS256 */
  key?: 'rsa' | 'ecdsa'
  proxy?: boolean
  columns?: Record<string, string | boolean>
}

const allGrants = ['authorization_code', 'refresh_token', 'client_credentials', 'password']
export const callback = 'https://app.example.com/callback?kept=yes'

export async function addClient(
  test: TestCore,
  slug: string,
  options: ClientOptions = {},
): Promise<TestClient> {
  const { core, database } = test
  const { db } = database
  const authorization =
    options.authorizationFlowId ?? (await addFlow(database, `${slug}-authorize`, 'authorization'))
  const invalidation =
    options.invalidationFlowId ?? (await addFlow(database, `${slug}-invalidate`, 'invalidation'))
  const clientSecret = randomBytes(48).toString('base64url')
  const clientId = `client-of-${slug}`
  const uris = options.redirectUris ?? [
    { matching_mode: 'strict', url: callback, redirect_uri_type: 'authorization' },
    { matching_mode: 'strict', url: 'https://app.example.com/bye', redirect_uri_type: 'logout' },
  ]
  const keyId = options.key === undefined ? null : await addKey(test, slug, options.key)
  const provider = await db.first<{ id: number }>(sql`
    insert into providers (type, name, authorization_flow_id, invalidation_flow_id)
    values (${options.proxy === true ? 'proxy' : 'oauth2'}, ${slug}, ${authorization}, ${invalidation}) returning id`)
  const providerId = provider!.id
  await db.count(sql`
    insert into oauth2_providers (provider_id, client_type, grant_types, client_id, client_secret_sealed, redirect_uris, signing_key_id)
    values (${providerId}, ${options.type ?? 'confidential'}, ${options.grants ?? allGrants}, ${clientId},
      ${core.secrets.seal('client_secret', clientSecret)}, ${JSON.stringify(uris)}, ${keyId})`)
  for (const [column, value] of Object.entries(options.columns ?? {}))
    await db.count(
      sql`update oauth2_providers set ${sql.id(column)} = ${value} where provider_id = ${providerId}`,
    )
  if (options.proxy === true)
    await db.count(sql`insert into proxy_providers (provider_id, external_host, cookie_secret_sealed)
      values (${providerId}, 'https://proxied.example.com', ${core.secrets.seal('cookie_secret', 'x'.repeat(32))})`)
  const application = await db.first<{ id: string }>(sql`
    insert into applications (slug, name, provider_id) values (${slug}, ${`The ${slug}`}, ${providerId}) returning id`)
  await db.count(sql`
    insert into provider_property_mappings (provider_id, mapping_id)
    select ${providerId}, id from property_mappings
    where scope_name = any(${options.scopes ?? ['openid', 'email', 'profile', 'offline_access', 'ak_proxy']}::text[])`)
  return { providerId, slug, applicationId: application!.id, clientId, clientSecret, redirectUri: callback }
}

async function addKey(
  { core, database }: TestCore,
  name: string,
  algorithm: 'rsa' | 'ecdsa',
): Promise<string> {
  const pair = await createSelfSigned({
    commonName: name,
    alternativeNames: ['localhost'],
    days: 1,
    algorithm,
  })
  const row = await database.db.first<{ id: string }>(sql`
    insert into certificate_keypairs (name, certificate_pem, private_key_sealed, fingerprint_sha256, fingerprint_sha1, subject,
      key_type, not_after)
    values (${name}, ${pair.certificatePem}, ${core.secrets.seal('private_key', pair.privateKeyPem)},
      ${sha256(pair.certificatePem).toString('hex')}, '', '', ${algorithm}, now() + interval '1 day') returning id`)
  return row!.id
}
