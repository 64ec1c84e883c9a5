// Core with everything outposts use, on a real listener over a real database and bus. Several of them over one database stand for
// several processes: each has its own pool, direct connection, bus and hub.
import { randomUUID } from 'node:crypto'
import type { TestContext } from 'node:test'
import { Configuration, OutpostsApi } from '@goauthentik/api'
import { registerApiRoutes } from '../../src/core/api/api-routes.ts'
import type { CoreApp } from '../../src/core/app.ts'
import type { Core } from '../../src/core/core.ts'
import { createFlows } from '../../src/core/flows/flows.ts'
import { ensureInstallation } from '../../src/core/installation/installation.sql.ts'
import { oidcFlowEnds, registerOidcRoutes } from '../../src/core/oidc/routes.ts'
import { createOutpost, type OutpostInput, outpostToken } from '../../src/core/outposts/account.ts'
import { createHub, type Hub } from '../../src/core/outposts/hub.ts'
import { registerOutpostRoutes } from '../../src/core/outposts/routes.ts'
import { answerOnSocket } from '../../src/http/errors.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { createLog } from '../../src/log.ts'
import { createBeat } from '../../src/pg/beat.ts'
import { createBus } from '../../src/pg/bus.ts'
import { createDb, sql } from '../../src/pg/db.ts'
import { createDirect } from '../../src/pg/direct.ts'
import { createPool } from '../../src/pg/pool.ts'
import { type Answer, askApi } from '../core/ask.ts'
import { bareCore, secrets, serve, version } from '../core/bare-core.ts'
import { addKeyholder, type Keyholder } from '../core/people.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'

export interface TestCore {
  core: Core
  app: CoreApp
  hub: Hub
  database: TestDatabase
  origin: string
  /** lines of the log */
  lines: Record<string, unknown>[]
  /** @param path below `/api/v3` */
  ask(key: string, method: string, path: string, body?: unknown): Promise<Answer>
  close(): Promise<void>
}

export { version }

/** A process of Core. @param database default: a new one; another process's to stand beside it */
export async function startCore(t: TestContext, database?: TestDatabase): Promise<TestCore> {
  const data = database ?? (await testDatabase(t))
  const lines: Record<string, unknown>[] = []
  const log = createLog({ level: 'info', logger: 'test', write: line => lines.push(JSON.parse(line)) })
  const pool = createPool({ target: data.target, max: 5, applicationName: 'outposts test', log })
  const db = createDb({ pool, schema: data.schema, log })
  const direct = createDirect({ target: data.directTarget, applicationName: 'outposts test direct', log })
  await direct.ready
  const node = { id: randomUUID(), name: 'test', kind: 'server', version }
  const beat = createBeat({ direct, schema: data.schema, node, log })
  const bus = createBus({ direct, db, beat, log })
  const { id: installationId } = await ensureInstallation(db, randomUUID(), secrets.fingerprint)
  const core = bareCore(db, {
    ...{ bus, log, installationId, buildHash: 'abc123' },
    trusted: createTrustedPeers(['127.0.0.0/8']),
  })
  const hub = createHub(core)
  let served: Awaited<ReturnType<typeof serve>> | undefined
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= (async () => {
      // First: a server does not end while sockets that were upgraded are open.
      await hub.close()
      await served?.close()
      await bus.close()
      await beat.close()
      await direct.close()
      await db.close()
    })()
    return closing
  }
  t.after(close)
  served = await serve(t, core, app => {
    registerApiRoutes(app, core)
    registerOutpostRoutes(app, core)
    registerOidcRoutes(app, core, createFlows({ core, ends: oidcFlowEnds }))
  })
  const { app, origin } = served
  served.server.on('upgrade', (request, socket, head) => {
    if (!hub.handleUpgrade(request, socket, head)) answerOnSocket(socket, 404)
  })
  return {
    ...{ core, app, hub, database: data, origin, lines, close },
    ask: (...args) => askApi(origin, ...args),
  }
}

/** A user with an API token and these permissions (`name` or `name@object`); a superuser if asked. */
export function addPerson(
  { core }: TestCore,
  username: string,
  permissions: string[] | 'superuser' = [],
): Promise<Keyholder> {
  return addKeyholder(core, username, permissions)
}

/** The official client of the reference, speaking as the owner of `key`. */
export function officialClient({ origin }: TestCore, key: string): OutpostsApi {
  return new OutpostsApi(new Configuration({ basePath: `${origin}/api/v3`, accessToken: key }))
}

/** A proxy provider with an application of the same name. @returns its id */
export async function addProxyProvider(
  { core }: TestCore,
  name: string,
  options: { application?: boolean; certificate?: string } = {},
): Promise<number> {
  const { db } = core
  const flow = await ensureFlow(core)
  const row = await db.first<{ id: number }>(sql`
    insert into ${db.t('providers')} (type, name, authorization_flow_id, invalidation_flow_id)
    values ('proxy', ${name}, ${flow}, ${flow}) returning id`)
  const id = row!.id
  await db.count(sql`
    insert into ${db.t('oauth2_providers')} (provider_id, client_id, client_secret_sealed, access_token_validity)
    values (${id}, ${`client-${name}`}, ${secrets.seal('client_secret', `secret of ${name}`)}, 'minutes=10')`)
  await db.count(sql`
    insert into ${db.t('proxy_providers')} (provider_id, external_host, internal_host, certificate_id, cookie_secret_sealed)
    values (${id}, ${`https://${name}.example.com`}, 'http://upstream:80', ${options.certificate ?? null},
      ${secrets.seal('cookie_secret', `cookie of ${name}`)})`)
  for (const scope of ['openid', 'profile']) {
    const mapping = await db.first<{ id: string }>(sql`
      insert into ${db.t('property_mappings')} (name, scope_name, expression)
      values (${`${scope} of ${name}`}, ${scope}, '{}') returning id`)
    await db.count(sql`insert into ${db.t('provider_property_mappings')} values (${id}, ${mapping!.id})`)
  }
  if (options.application ?? true)
    await db.count(sql`
      insert into ${db.t('applications')} (slug, name, provider_id) values (${name}, ${`App ${name}`}, ${id})`)
  return id
}

async function ensureFlow({ db }: Core): Promise<string> {
  const row = await db.first<{ id: string }>(sql`
    insert into ${db.t('flows')} (slug, name, title, designation) values ('authorize', 'Authorize', 'Authorize', 'authorization')
    on conflict (slug) do update set name = excluded.name returning id`)
  return row!.id
}

/** A key pair as Core stores one. */
export async function addCertificate(
  { core }: TestCore,
  name: string,
  pair: { certificate: string; key: string; fingerprint: string },
): Promise<string> {
  const { db } = core
  const row = await db.first<{ id: string }>(sql`
    insert into ${db.t('certificate_keypairs')}
      (name, certificate_pem, private_key_sealed, fingerprint_sha256, fingerprint_sha1, subject, key_type, not_after)
    values (${name}, ${pair.certificate}, ${secrets.seal('private_key', pair.key)}, ${pair.fingerprint}, 'aa', 'CN=localhost', 'ec',
      now() + interval '1 day')
    returning id`)
  return row!.id
}

export interface TestOutpost {
  id: string
  tokenIdentifier: string
  key: string
}

/** An outpost as the rest of Core makes one, with the key of its token. */
export async function addOutpost(
  { core }: TestCore,
  name: string,
  providers: number[] = [],
  more: Partial<OutpostInput> = {},
): Promise<TestOutpost> {
  const made = await core.db.transaction(tx =>
    createOutpost(tx, core, { name, type: 'proxy', providers, config: {}, ...more }),
  )
  return { ...made, key: await outpostToken(core.db, core, made.id) }
}
