// Mail addresses, read strictly: exactly one `@`, nothing that could end a header or a command (RFC 5321 §4.1.2, without quoted local
// parts, comments and literals, which nobody has and attackers do).
import { domainToASCII } from 'node:url'

export interface MailAddress {
  /** shown beside the address; may be empty */
  name: string
  address: string
}

/**
 * Reads `address` or `Name <address>`.
 * @returns undefined for anything else
 */
export function readMailAddress(text: string): MailAddress | undefined {
  const parts = /^\s*(?:"?([^"<>]*?)"?\s*<([^<>]*)>|([^<>]*))\s*$/.exec(text)
  const name = (parts?.[1] ?? '').trim()
  const address = (parts?.[2] ?? parts?.[3] ?? '').trim()
  if (parts === null || !isMailAddress(address) || !isHeaderText(name)) return undefined
  return { name, address }
}

/** True for an address a message may be sent to. */
export function isMailAddress(text: string): boolean {
  const at = text.indexOf('@')
  if (at < 1 || at > 64 || text.length > 254 || at !== text.lastIndexOf('@')) return false
  const [local, domain] = [text.slice(0, at), text.slice(at + 1)]
  if (!/^[^\s\p{C}<>()[\]\\,;:"]+$/u.test(local) || /^\.|\.\.|\.$/.test(local)) return false
  return /^[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*$/u.test(domain) && domainToASCII(domain) !== ''
}

/** True for text that can stand in one header line. */
export function isHeaderText(text: string): boolean {
  return text.length <= 998 && !/[\p{Cc}\u2028\u2029]/u.test(text)
}
