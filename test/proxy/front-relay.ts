// What stands in for an outpost in trouble: a TCP port in front of a real one, which passes bytes on or does worse.
import net, { type AddressInfo, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

/** `reset`: connections end unanswered. `silent`: nothing ever comes. `broken`: an answer that is none. `cut`: half an answer. */
export type Trouble = 'none' | 'reset' | 'silent' | 'broken' | 'cut'

export interface Relay {
  port: number
  /** From now on, for new connections; those there are end. */
  be(trouble: Trouble): void
  /** Nobody listens any more. */
  close(): Promise<void>
}

const said: Partial<Record<Trouble, string>> = {
  broken: 'HTTP/1.1 20O Fine\r\nX-authentik-username: root\r\n\r\n',
  cut: 'HTTP/1.1 200 OK\r\nX-authentik-user',
}

/** @param behind port of the outpost */
export async function startRelay(t: TestContext, behind: number): Promise<Relay> {
  let trouble: Trouble = 'none'
  const sockets = new Set<Socket>()
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  }
  const server = net.createServer(socket => {
    keep(socket)
    const answer = said[trouble]
    if (trouble === 'reset') socket.destroy()
    else if (answer !== undefined) socket.once('data', () => socket.end(answer))
    else if (trouble === 'none') {
      const other = net.connect(behind, '127.0.0.1')
      keep(other)
      socket.on('close', () => other.destroy())
      other.on('close', () => socket.destroy())
      socket.pipe(other).pipe(socket)
    } else socket.resume()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  const close = () =>
    new Promise<void>(resolve => {
      server.close(() => resolve())
      cut()
    })
  t.after(close)
  return {
    port: (server.address() as AddressInfo).port,
    be(next) {
      trouble = next
      cut()
    },
    close,
  }
}
