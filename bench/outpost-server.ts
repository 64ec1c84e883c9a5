// The outpost under test in a process of its own: the real listener, session store and access log; only Core is played, since no
// request that is measured asks it anything.
import { openSync } from 'node:fs'
import { Registry } from 'prom-client'
import { createAccessLog } from '../src/http/access-log.ts'
import { createListener } from '../src/http/listener.ts'
import { createTrustedPeers } from '../src/http/trusted-peers.ts'
import { silentLog } from '../src/log.ts'
import { createPool } from '../src/pg/pool.ts'
import type { PgTarget } from '../src/pg/target.ts'
import { createOutpost } from '../src/proxy/outpost.ts'
import { sessionCookieName } from '../src/proxy/sessions/cookie.ts'
import { createSessions } from '../src/proxy/sessions/sessions.ts'
import { createFilesystemStore } from '../src/proxy/sessions/store-filesystem.ts'
import { createPostgresStore } from '../src/proxy/sessions/store-postgres.ts'
import { createFakeCore, fakeProvider } from '../test/proxy/fake-core.ts'
import { serveBench } from './bench-process.ts'
import { someClaims } from './claims.ts'

export interface OutpostArgs {
  store: { target: PgTarget; schema: string } | { directory: string }
  upstreamPort: number
  /** ms; 0 makes every request a cold one */
  leaseMs: number
  /** signed-in users made at the start */
  users: number
}

export interface OutpostAbout {
  port: number
  /** `name=value` for the application behind forward auth, and the one that is proxied */
  forward: string[]
  proxied: string[]
}

await serveBench<OutpostArgs, OutpostAbout>(async ({ store: place, upstreamPort, leaseMs, users }) => {
  const log = silentLog
  const pool =
    'target' in place
      ? createPool({ target: () => place.target, max: 5, applicationName: 'bench outpost', log })
      : null
  const store =
    'target' in place && pool !== null
      ? createPostgresStore({ pool, schema: place.schema })
      : createFilesystemStore({ directory: 'directory' in place ? place.directory : '' })
  await store.prepare()
  const sessions = createSessions({ store, leaseMs, maxEntries: 50_000, log })
  const judged = fakeProvider({ external_host: 'https://judged.example' })
  const proxied = fakeProvider({
    mode: 'proxy',
    external_host: 'https://proxied.example',
    internal_host: `http://127.0.0.1:${upstreamPort}`,
  })
  const trusted = createTrustedPeers(['127.0.0.0/8'])
  const accessLog = createAccessLog({ fd: openSync('/dev/null', 'w') })
  const core = createFakeCore([judged, proxied])
  const outpost = createOutpost({
    ...{
      link: core.link,
      embedded: false,
      sessions,
      trusted,
      version: '0.0.0-bench',
      log,
      accessLog,
      leaseMs,
    },
    registry: new Registry(),
  })
  await outpost.start()
  const listener = await createListener({
    name: 'HTTP',
    listen: [{ host: '127.0.0.1', port: 0 }],
    handler: (req, res) => void outpost.handle(req, res),
    ...{ trusted, log, proxyProtocol: true },
  })
  const cookiesOf = async (provider: typeof judged) => {
    const about = { clientId: provider.client_id, cookieSecret: provider.cookie_secret }
    const name = sessionCookieName(provider.client_id)
    const made: string[] = []
    for (let user = 0; user < users; user++) {
      const { cookieValue } = await sessions.create(about, someClaims(user), Date.now() + 3_600_000)
      made.push(`${name}=${cookieValue}`)
    }
    return made
  }
  return {
    about: {
      port: listener.addresses[0]?.port ?? 0,
      forward: await cookiesOf(judged),
      proxied: await cookiesOf(proxied),
    },
    async close() {
      await listener.close({ graceMs: 0 })
      await outpost.close()
      await pool?.close()
      await accessLog.close()
    },
  }
})
