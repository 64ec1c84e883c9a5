// Hands one message to the mail server. A worker can die after the server took it and before that was written down: then it is sent
// again, with the same Message-ID, by which mailboxes show it once.
import Type from 'typebox'
import { type AnyActor, defineActor } from '../../pg/tasks/actor.ts'
import { recordEvent } from '../events/record.ts'
import { MailDelayed, type MailServer, sendMail } from '../mail/smtp.ts'
import type { TaskCore } from '../tasks.ts'

export const sendMailActor = 'send_mail'

const Payload = Type.Object(
  {
    to: Type.String(),
    name: Type.String(),
    subject: Type.String(),
    /** both parts, sealed: links in them may open doors, and tasks are kept for weeks */
    sealed: Type.String(),
  },
  { additionalProperties: false },
)

/**
 * @param server read anew for every message; undefined = no mail is sent here
 * @param backoffSeconds wait before the second attempt, doubled for each further; with the default the last is an hour after the first
 */
export function mailActor(
  core: Pick<TaskCore, 'db' | 'secrets'>,
  server: (() => MailServer) | undefined,
  backoffSeconds = 15,
): AnyActor {
  return defineActor({
    name: sendMailActor,
    description: 'Hands a message to the mail server.',
    payload: Payload,
    retries: 8,
    backoffSeconds,
    timeLimitSeconds: 300,
    run: async ({ payload, id, log, signal }) => {
      if (server === undefined)
        throw new MailDelayed('AUTHENTIK_EMAIL__HOST is not set for this worker, so it cannot send mail')
      const { to, name, subject } = payload
      const parts = JSON.parse(core.secrets.open('mail', Buffer.from(payload.sealed, 'base64'))) as {
        text: string
        html: string
      }
      const settings = server()
      const messageId = `<${id}@${settings.from.address.split('@')[1]}>`
      const mail = { to: { name, address: to }, subject, messageId, ...parts }
      const response = await beforeAbort(signal, sendMail(settings, mail))
      log.info('mail sent', { message_id: messageId, response })
      await recordEvent(core.db, {
        action: 'email_sent',
        app: 'authentik.core',
        context: { to_email: to, subject, from_email: settings.from.address, message_id: messageId },
      })
      return { response }
    },
  })
}

/** A conversation cannot be taken back; who waits for it may stop waiting. */
async function beforeAbort<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
    work.catch(() => {})
  }
}
