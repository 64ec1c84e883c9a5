// A real SMTP server on loopback that keeps what it is given, and can be told to refuse.
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import type { MailServer } from '../../src/core/mail/smtp.ts'

export interface Received {
  from: string
  to: string[]
  raw: string
  messageId: string
  user: string
  encrypted: boolean
}

export interface TestMailServer {
  port: number
  received: Received[]
  /** connections so far */
  connections(): number
  /** what to send to it with */
  settings: MailServer
  close(): Promise<void>
}

/**
 * @param options.refuse called with the number of the message (from 1) after its data; text beginning with a code refuses it
 * @param options.taken called after a message was stored and before its sender is told
 */
export async function startMailServer(
  t: TestContext,
  options: SMTPServerOptions & {
    refuse?: (number: number) => string | undefined
    taken?: (received: Received[]) => void
    port?: number
  } = {},
): Promise<TestMailServer> {
  const { refuse, taken, port = 0, ...rest } = options
  const received: Received[] = []
  let connections = 0
  let messages = 0
  const server = new SMTPServer({
    disabledCommands: rest.onAuth === undefined ? ['AUTH'] : [],
    ...(rest.cert === undefined ? { hideSTARTTLS: true } : {}),
    closeTimeout: 100,
    onConnect(_session, done) {
      connections++
      done()
    },
    onData(stream, session, done) {
      const chunks: Buffer[] = []
      stream.on('data', chunk => chunks.push(chunk))
      stream.on('end', () => {
        const said = refuse?.(++messages)
        if (said !== undefined) return done(refusal(said))
        const raw = Buffer.concat(chunks).toString('utf8')
        const { mailFrom, rcptTo } = session.envelope
        received.push({
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(one => one.address),
          raw,
          messageId: /^message-id:\s*(\S+)/im.exec(raw)?.[1] ?? '',
          user: String(session.user ?? ''),
          encrypted: session.secure,
        })
        taken?.(received)
        done()
      })
    },
    ...rest,
  })
  server.on('error', () => {})
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  const close = () => new Promise<void>(resolve => server.close(() => resolve()))
  t.after(close)
  const bound = (server.server.address() as AddressInfo).port
  return {
    port: bound,
    received,
    connections: () => connections,
    settings: settingsFor(bound),
    close,
  }
}

/** Settings for a server on this machine, without TLS and login. */
export function settingsFor(port: number): MailServer {
  return {
    host: '127.0.0.1',
    port,
    username: '',
    password: '',
    security: 'none',
    timeoutMs: 20_000,
    from: { name: 'Postern', address: 'postern@id.example.com' },
  }
}

/** An error that answers with its own code, as smtp-server understands it. */
export function refusal(text: string): Error {
  const [, code = '554', sentence = ''] = /^(\d{3}) (.*)$/.exec(text) ?? []
  return Object.assign(new Error(sentence), { responseCode: Number(code) })
}
