// A way to PostgreSQL that can be closed: a TCP port in front of the test server's unix socket. The server behind it has no TLS.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { PgTarget } from '../../src/pg/target.ts'
import { directOf } from '../pg/straight.ts'

export interface Gate {
  port: number
  /** The target, by way of the gate. */
  target(): PgTarget
  open(): Promise<void>
  /** Refuses connections and cuts those there are. */
  close(): Promise<void>
}

/** A gate that is closed at first, on a port of its own. */
export async function createGate(t: TestContext, target: PgTarget): Promise<Gate> {
  const [behind] = directOf(target).hosts
  if (behind === undefined) throw new Error('a target without hosts')
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    const other = connect(`${behind.host}/.s.PGSQL.${behind.port}`)
    for (const [end, far] of [
      [socket, other],
      [other, socket],
    ] as const) {
      sockets.add(end)
      end.on('error', () => {})
      end.on('close', () => {
        sockets.delete(end)
        far.destroy()
      })
    }
    socket.pipe(other).pipe(socket)
  })
  const listen = (port: number) =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject)
        resolve()
      })
    })
  const close = () =>
    new Promise<void>(resolve => {
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    })
  await listen(0)
  const { port } = server.address() as AddressInfo
  await close()
  t.after(close)
  return {
    port,
    target: () => ({ ...target, hosts: [{ host: '127.0.0.1', port }] }),
    open: () => listen(port),
    close,
  }
}
