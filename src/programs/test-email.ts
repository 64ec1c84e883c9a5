// `postern test-email <address>`: one message with the settings of this machine, straight to the server, with what it answers.
import { randomUUID } from 'node:crypto'
import { readMailAddress } from '../core/mail/address.ts'
import { MailDelayed, MailRefused, sendMail } from '../core/mail/smtp.ts'
import { renderMail } from '../core/mail/template.ts'
import { type Settings, SettingsError } from '../settings.ts'
import { version } from '../version.ts'
import { mailServerOf } from './mail-server.ts'

/** @returns 0 sent, 1 not sent, 2 wrong words */
export async function runTestEmail(settings: Settings, words: string[]): Promise<number> {
  const to = words.length === 1 ? readMailAddress(words[0] ?? '') : undefined
  if (to === undefined) {
    process.stderr.write('usage: postern test-email <address>\n')
    return 2
  }
  try {
    const server = mailServerOf(settings)?.()
    if (server === undefined) throw new SettingsError(['AUTHENTIK_EMAIL__HOST is not set: no mail is sent'])
    const { host, port, security, username, from } = server
    const how = { none: 'no TLS', starttls: 'STARTTLS', tls: 'TLS' }[security]
    process.stdout.write(
      `${from.address} → ${to.address} by ${host}:${port}, ${how}, ${username === '' ? 'no login' : `login as ${username}`}\n`,
    )
    const response = await sendMail(server, {
      to,
      subject: 'Mail works',
      messageId: `<${randomUUID()}@${from.address.split('@')[1]}>`,
      ...renderMail(
        {
          title: 'Mail works',
          paragraphs: ['If you can read this, Postern can send mail with these settings.'],
          facts: [
            ['Server', `${host}:${port}`],
            ['Connection', how],
            ['Version', version],
          ],
          reason: 'Somebody ran "postern test-email" with your address.',
        },
        { title: 'Postern', url: siteOf(settings) },
      ),
    })
    process.stdout.write(`sent: ${response}\n`)
    return 0
  } catch (error) {
    const expected = [MailDelayed, MailRefused, SettingsError].some(kind => error instanceof kind)
    if (!expected) throw error
    process.stderr.write(`not sent: ${(error as Error).message}\n`)
    return 1
  }
}

function siteOf(settings: Settings): URL {
  return new URL(settings.get('POSTERN_BASE_URL') || 'http://localhost')
}
