// Warns of certificates that end: 30 days, a week and a day before, and when they have.
import Type from 'typebox'
import { type AnyActor, defineActor } from '../../pg/tasks/actor.ts'
import { recordEvent } from '../events/record.ts'
import type { TaskCore } from '../tasks.ts'
import { unwarnedCertificates } from './certificates.sql.ts'

/** Days before the end, each warned of once. */
export const warningDays = [30, 7, 1, 0] as const

export function certificateActor(core: Pick<TaskCore, 'db'>): AnyActor {
  return defineActor({
    name: 'certificate_expiry',
    description: 'Writes an event for each certificate that is about to expire.',
    payload: Type.Object({}, { additionalProperties: false }),
    schedule: { crontab: '15 4 * * *', payload: {} },
    run: async ({ log }) => {
      const warned = await core.db.transaction(async tx => {
        const certificates = await unwarnedCertificates(tx, warningDays)
        for (const { id, name, not_after: notAfter, days } of certificates) {
          const expires = notAfter.toISOString()
          await recordEvent(tx, {
            action: 'configuration_warning',
            app: 'authentik.crypto',
            context: {
              message:
                days === 0
                  ? `Certificate "${name}" has expired.`
                  : `Certificate "${name}" expires within ${days} days.`,
              model: { app: 'authentik_crypto', model_name: 'certificatekeypair', pk: id, name },
              expires_at: expires,
              warning_days: days,
            },
          })
          log.warning('certificate expires', { certificate: name, expires_at: expires })
        }
        return certificates.length
      })
      return { warned }
    },
  })
}
