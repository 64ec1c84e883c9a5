// WebSockets of a session that is ended: how long until each outpost has cut those that go through it.
import { once } from 'node:events'
import { createServer } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '../test/e2e/http-client.ts'
import { createCoreApi, quantile } from '../test/e2e/revocation-walk.ts'
import { type Emit, judged } from './figure.ts'
import { createUser } from './made-users.ts'

const rounds = 25
/** Through each outpost. */
const socketsEach = 4
const [name, password] = ['socketeer', 'a password of the sockets']
const patienceMs = 60_000

/** @param site.ports of all outposts; the application is served by each of them */
export async function revokedSockets(
  site: { core: string; token: string; application: string; ports: number[] },
  emit: Emit,
): Promise<void> {
  const api = createCoreApi(site.core, site.token)
  const upstream = await startUpstream()
  const { results } = await api('GET', 'providers/proxy/')
  const [provider] = results as { pk: number }[]
  await api('PATCH', `providers/proxy/${provider?.pk}/`, { internal_host: upstream.url })
  await createUser(site, name, password)
  const times: number[] = []
  try {
    for (let round = 0; round < rounds; round++) {
      const client = createClient()
      await client.signIn(`${site.application}/`, name, password)
      const cookie = client.cookies
        .filter(({ host }) => host === new URL(site.application).hostname)
        .map(one => `${one.name}=${one.value}`)
        .join('; ')
      const open: net.Socket[] = []
      for (const port of site.ports)
        for (let at = 0; at < socketsEach; at++) open.push(await upgraded(port, site.application, cookie))
      const { results: sessions } = await api('GET', `core/authenticated_sessions/?user__username=${name}`)
      const closed = open.map(async socket => {
        if (!socket.closed) await once(socket, 'close')
        return performance.now()
      })
      for (const { uuid } of sessions as { uuid: string }[])
        await api('DELETE', `core/authenticated_sessions/${uuid}/`)
      const from = performance.now()
      for (const at of await Promise.all(closed)) times.push(Math.max(0, at - from))
    }
  } finally {
    upstream.close()
  }
  const note = `p50 ${Math.round(quantile(times, 0.5))} ms, worst ${Math.round(Math.max(...times))} ms of ${times.length}, from the answer of the act`
  const value = quantile(times, 0.99)
  emit(judged({ name: 'revoked_sockets_p99', value, unit: 'ms', goal: '<= 100', note }))
}

/** Opens a WebSocket through an outpost; one that has not heard of the upstream yet is asked again. */
async function upgraded(port: number, application: string, cookie: string): Promise<net.Socket> {
  for (const end = performance.now() + patienceMs; ; await sleep(100)) {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => {})
    const head = [
      'GET /socket HTTP/1.1',
      `Host: ${new URL(application).host}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
    ]
    const key = ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: c29tZSBrZXkgb2YgYnl0ZXM=']
    socket.write([...head, ...key, `Cookie: ${cookie}`, '', ''].join('\r\n'))
    const [first] = (await once(socket, 'data')) as [Buffer]
    if (first.toString('latin1').startsWith('HTTP/1.1 101 ')) return socket
    socket.destroy()
    if (performance.now() > end) throw new Error(`no WebSocket through port ${port}: ${first}`)
  }
}

async function startUpstream(): Promise<{ url: string; close(): void }> {
  const server = createServer((_request, response) => response.end('hello'))
  server.on('upgrade', (_request, socket) => {
    socket.on('error', () => {})
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    socket.pipe(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
