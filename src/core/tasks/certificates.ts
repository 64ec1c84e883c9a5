// Warns of certificates that end: 30 days, a week and a day before, and when they have. Each warning is an event and, when mail can be
// sent, one message to every administrator, in the same transaction: so none is given twice.
import Type from 'typebox'
import { type AnyActor, defineActor } from '../../pg/tasks/actor.ts'
import { recordEvent } from '../events/record.ts'
import type { Mailer } from '../mail/mailer.ts'
import type { MailContent } from '../mail/template.ts'
import type { TaskCore } from '../tasks.ts'
import { type EndingCertificate, unwarnedCertificates } from './certificates.sql.ts'

/** Days before the end, each warned of once. */
export const warningDays = [30, 7, 1, 0] as const

/** @param mailer undefined: events only */
export function certificateActor(core: Pick<TaskCore, 'db'>, mailer?: Mailer): AnyActor {
  return defineActor({
    name: 'certificate_expiry',
    description:
      'Writes an event, and a mail to the administrators, for each certificate that is about to expire.',
    payload: Type.Object({}, { additionalProperties: false }),
    // Two runs at once would each find what the other has not written yet.
    limit: 1,
    schedule: { crontab: '15 4 * * *', payload: {} },
    run: async ({ log }) => {
      return await core.db.transaction(async tx => {
        const certificates = await unwarnedCertificates(tx, warningDays)
        for (const certificate of certificates) {
          const { id, name, not_after: notAfter, days } = certificate
          const expires = notAfter.toISOString()
          await recordEvent(tx, {
            action: 'configuration_warning',
            app: 'authentik.crypto',
            context: {
              message: sentence(certificate),
              model: { app: 'authentik_crypto', model_name: 'certificatekeypair', pk: id, name },
              expires_at: expires,
              warning_days: days,
            },
          })
          log.warning('certificate expires', { certificate: name, expires_at: expires })
        }
        const mails =
          certificates.length === 0 ? 0 : await mailer?.sendToAdministrators(tx, contentOf(certificates))
        return { warned: certificates.length, mails: mails ?? 0 }
      })
    },
  })
}

function sentence({ name, days }: EndingCertificate): string {
  return days === 0
    ? `Certificate "${name}" has expired.`
    : `Certificate "${name}" expires within ${days === 1 ? 'a day' : `${days} days`}.`
}

function contentOf(certificates: EndingCertificate[]): MailContent {
  const [only] = certificates
  return {
    title:
      certificates.length === 1 && only !== undefined
        ? sentence(only).replace(/\.$/, '')
        : `${certificates.length} certificates expire`,
    paragraphs: [
      'Whatever uses an expired certificate stops working: signed tokens are refused, and browsers warn of the page.',
      'Put a new certificate in place under the same name, and nothing else has to change.',
    ],
    facts: certificates.map(({ name, not_after: notAfter }) => [
      name,
      `${notAfter.toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    ]),
    reason: 'You get this message because you administer this installation.',
  }
}
