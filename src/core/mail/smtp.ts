// Handing a message to an SMTP server (RFC 5321): one connection per message, TLS as the settings say and always verified. A refusal
// that will not change (5xx) and one that may (4xx, no connection) are told apart, because only the second is worth another attempt.
import { isIP } from 'node:net'
import { rootCertificates } from 'node:tls'
import { errorText } from '../../log.ts'
import { FinalFailure } from '../../pg/tasks/actor.ts'
import { isHeaderText, isMailAddress, type MailAddress } from './address.ts'

export interface MailServer {
  host: string
  port: number
  /** empty = no login */
  username: string
  password: string
  /** `starttls`: encrypted before anything is said, or given up; `tls`: from the first byte */
  security: 'none' | 'starttls' | 'tls'
  /** longest silence of the server */
  timeoutMs: number
  from: MailAddress
  /** PEM, trusted besides the usual roots */
  rootCertificates?: string
}

export interface Mail {
  to: MailAddress
  subject: string
  text: string
  html: string
  /** with angle brackets (RFC 5322 §3.6.4); the same at every attempt, so that a copy can be told */
  messageId: string
}

/** The server said no for good (5xx), or the message can be sent by nobody. */
export class MailRefused extends FinalFailure {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'MailRefused'
  }
}

/** It did not work this time: no connection, no trust in the certificate, or "try again later" (4xx). */
export class MailDelayed extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'MailDelayed'
  }
}

/**
 * @returns the server's line that took the message over
 * @throws MailRefused, MailDelayed; neither message holds the password
 */
export async function sendMail(server: MailServer, mail: Mail): Promise<string> {
  check(server.from, mail)
  // Loaded by the first message: most processes send none.
  const { createTransport } = await import('nodemailer')
  const transport = createTransport({
    host: server.host,
    port: server.port,
    secure: server.security === 'tls',
    requireTLS: server.security === 'starttls',
    ignoreTLS: server.security === 'none',
    ...(server.username === '' ? {} : { auth: { user: server.username, pass: server.password } }),
    connectionTimeout: server.timeoutMs,
    greetingTimeout: server.timeoutMs,
    socketTimeout: server.timeoutMs,
    dnsTimeout: server.timeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
    logger: false,
    tls: {
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      ...(isIP(server.host) === 0 ? { servername: server.host } : {}),
      ...(server.rootCertificates === undefined
        ? {}
        : { ca: [...rootCertificates, server.rootCertificates] }),
    },
  })
  try {
    const { response } = await transport.sendMail({
      from: server.from,
      to: mail.to,
      envelope: { from: server.from.address, to: [mail.to.address] },
      subject: mail.subject,
      text: mail.text,
      html: mail.html,
      messageId: mail.messageId,
      xMailer: false,
      // RFC 3834 §5: no holiday answers to us.
      headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' },
    })
    return line(response)
  } catch (error) {
    throw judged(server, error)
  } finally {
    transport.close()
  }
}

/** @throws MailRefused for what could smuggle in a header or a recipient */
function check(from: MailAddress, { to, subject, messageId }: Mail): void {
  for (const one of [from, to])
    if (!isMailAddress(one.address) || !isHeaderText(one.name))
      throw new MailRefused(`not a mail address: ${JSON.stringify(one.address)}`)
  if (!isHeaderText(subject))
    throw new MailRefused('the subject holds a line break or another control character')
  if (!/^<[^\s\p{C}<>@]+@[^\s\p{C}<>@]+>$/u.test(messageId)) throw new MailRefused('not a message id')
}

interface SmtpError {
  code?: string
  responseCode?: number
  response?: string
}

function judged({ host, port, security }: MailServer, error: unknown): Error {
  const { code = '', responseCode, response = '' } = error as SmtpError
  const server = `${host}:${port}`
  // Without `cause`: what the client keeps of the conversation is not for logs.
  if (responseCode !== undefined && responseCode >= 400) {
    const said = `${server} answered: ${line(response)}`
    return responseCode >= 500 ? new MailRefused(said) : new MailDelayed(said)
  }
  const advice =
    code === 'ETLS' || isAboutTrust(error)
      ? ` (${security === 'none' ? 'no TLS was asked for' : 'AUTHENTIK_EMAIL__USE_TLS and _USE_SSL, POSTERN_EMAIL_ROOT_CERT'})`
      : ''
  return new MailDelayed(`${server}: ${line(errorText(error))}${advice}`)
}

function isAboutTrust(error: unknown): boolean {
  return /certificate|self.signed|altname|unable to verify/i.test(errorText(error))
}

/** What a server says is a stranger's text: one line, no control characters, bounded. */
function line(text: string): string {
  return text
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, 400)
}
