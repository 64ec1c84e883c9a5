// The mail server of the settings. User, password and root certificates are read anew for every message.
import { readFileSync } from 'node:fs'
import { readMailAddress } from '../core/mail/address.ts'
import type { MailServer } from '../core/mail/smtp.ts'
import { type Settings, SettingsError } from '../settings.ts'

/**
 * @returns undefined when none is set
 * @throws SettingsError when the sender is no address, or the certificates cannot be read
 */
export function mailServerOf(settings: Settings): (() => MailServer) | undefined {
  const host = settings.get('AUTHENTIK_EMAIL__HOST').trim()
  if (host === '') return undefined
  const from = readMailAddress(settings.get('AUTHENTIK_EMAIL__FROM'))
  if (from === undefined)
    throw new SettingsError(['AUTHENTIK_EMAIL__FROM must be an address, or a name and <address>'])
  const read = (): MailServer => ({
    host,
    port: settings.get('AUTHENTIK_EMAIL__PORT'),
    username: settings.current('AUTHENTIK_EMAIL__USERNAME'),
    password: settings.current('AUTHENTIK_EMAIL__PASSWORD'),
    security: securityOf(settings),
    timeoutMs: settings.get('AUTHENTIK_EMAIL__TIMEOUT') * 1000,
    from,
    ...rootsOf(settings),
  })
  read()
  return read
}

function securityOf(settings: Settings): MailServer['security'] {
  if (settings.get('AUTHENTIK_EMAIL__USE_SSL')) return 'tls'
  return settings.get('AUTHENTIK_EMAIL__USE_TLS') ? 'starttls' : 'none'
}

function rootsOf(settings: Settings): { rootCertificates?: string } {
  const file = settings.get('POSTERN_EMAIL_ROOT_CERT')
  if (file === '') return {}
  try {
    return { rootCertificates: readFileSync(file, 'utf8') }
  } catch (cause) {
    throw new SettingsError([`POSTERN_EMAIL_ROOT_CERT: ${file} cannot be read`], { cause })
  }
}
