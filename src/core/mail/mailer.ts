// Mail leaves through the task queue: what asks for one enqueues it in its own transaction, so that there is a message if and only if
// what it tells of is true, and a server that is away costs nobody an answer.
//
// Owns the actor `send_mail` (../tasks/send-mail.ts) and how a message looks. Who is written to, and when, is decided by the callers.
import type { Db, Tx } from '../../pg/db.ts'
import type { Tasks } from '../../pg/tasks/tasks.ts'
import type { Core } from '../core.ts'
import { sendMailActor } from '../tasks/send-mail.ts'
import { isMailAddress, type MailAddress } from './address.ts'
import { administratorsWithAddress, installationTitle } from './recipients.sql.ts'
import { type MailContent, renderMail } from './template.ts'

export interface Mailer {
  /**
   * Enqueues a message; inside a transaction it exists if and only if that commits.
   * @returns false when the address is none, or no mail server is set: then nothing is sent
   */
  send(on: Tx | Db, to: MailAddress, content: MailContent): Promise<boolean>
  /** The same to every active superuser with an address. @returns number of messages */
  sendToAdministrators(on: Tx | Db, content: MailContent): Promise<number>
}

/**
 * @param options.enabled false: no server is set
 * @param options.enqueue of the tasks of this process
 */
export function createMailer(options: {
  core: Pick<Core, 'secrets' | 'baseUrl' | 'log'>
  enabled: boolean
  enqueue: Tasks['enqueue']
}): Mailer {
  const { core, enabled, enqueue } = options

  async function sendAll(on: Tx | Db, to: MailAddress[], content: MailContent): Promise<number> {
    const usable = to.filter(({ address }) => isMailAddress(address))
    if (usable.length < to.length)
      core.log.warning('not a mail address, nothing sent', { count: to.length - usable.length })
    if (!enabled || usable.length === 0) return 0
    const title = (await installationTitle(on)) ?? 'Postern'
    const parts = renderMail(content, { title, url: core.baseUrl })
    const sealed = core.secrets.seal('mail', JSON.stringify(parts)).toString('base64')
    const subject = headerText(content.title)
    for (const { name, address } of usable) {
      const payload = { to: address, name: headerText(name), subject, sealed }
      await enqueue(on, sendMailActor, payload, { uid: subject })
    }
    return usable.length
  }

  return {
    send: async (on, to, content) => (await sendAll(on, [to], content)) === 1,
    async sendToAdministrators(on, content) {
      if (!enabled) return 0
      const people = await administratorsWithAddress(on)
      const to = people.map(({ name, username, email }) => ({ name: name || username, address: email }))
      return await sendAll(on, to, content)
    },
  }
}

/** Names and titles hold what people typed; in a header they are one line. */
function headerText(text: string): string {
  return text
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, 200)
}
