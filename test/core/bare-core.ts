// What every test of Core begins with: a `Core` over a database, a listener before its routes, and people with tokens.
import { randomUUID } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { RouteOptions } from 'fastify'
import { type CoreApp, createApp } from '../../src/core/app.ts'
import type { Core } from '../../src/core/core.ts'
import { createSecrets } from '../../src/core/secrets.ts'
import { createPasswords } from '../../src/core/users/passwords.ts'
import { createTrustedPeers } from '../../src/http/trusted-peers.ts'
import { silentLog } from '../../src/log.ts'
import type { Bus, BusBody } from '../../src/pg/bus.ts'
import type { Db } from '../../src/pg/db.ts'

export const version = '0.1.0-test'
export const secrets = createSecrets('a secret key of a test that is long enough')
export const passwords = createPasswords({ concurrency: 2 })

/** A Core without pages and media whose bus goes nowhere. @param more what a test wants otherwise */
export function bareCore(db: Db, more: Partial<Core> = {}): Core {
  return {
    db,
    bus: deafBus(),
    // Remembers nothing.
    memory: { get: (_namespace, _key, use) => use.load(), invalidate: async () => {} },
    log: silentLog,
    secrets,
    passwords,
    baseUrl: new URL('http://core.test'),
    trusted: createTrustedPeers([]),
    installationId: randomUUID(),
    version,
    buildHash: '',
    cookieDomain: '',
    webDirectory: '/nonexistent',
    mediaDirectory: '',
    setupToken: '',
    now: () => new Date(),
    ...more,
  }
}

export type Published = { type: string; body: BusBody }[]

/** A bus nobody listens on. @param published receives what is said on it */
export function deafBus(published: Published = []): Bus {
  return {
    publish(type, body = {}) {
      published.push({ type, body })
    },
    subscribe: () => () => {},
    onResync: () => () => {},
    healthy: () => true,
    close: async () => {},
  }
}

/** A server on a port of its own that answers nothing yet, for a Core that must know its address first. */
export async function listen(): Promise<Server> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return server
}

/** `http://127.0.0.1:<port>` */
export function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/**
 * Answers requests with Core's application until the test ends.
 * @param register adds the routes under test
 * @param listening default: a server on a port of its own
 */
export async function serve(
  t: TestContext,
  core: Core,
  register: (app: CoreApp) => void,
  listening?: Server,
): Promise<{ app: CoreApp; server: Server; origin: string; routes: RouteOptions[]; close(): Promise<void> }> {
  const server = listening ?? (await listen())
  const app = createApp(core)
  const routes: RouteOptions[] = []
  app.addHook('onRoute', route => {
    routes.push(route)
  })
  register(app)
  await app.ready()
  server.on('request', (request, response) => app.routing(request, response))
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= (async () => {
      await app.close()
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    })()
    return closing
  }
  t.after(close)
  return { app, server, origin: originOf(server), routes, close }
}
