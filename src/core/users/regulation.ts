// Brute force: every attempt to prove who one is counts against the account and the address it came from before it is judged, and is
// taken back when it was right, so that parallel guesses cannot slip through between the check and the count. Nothing is locked for ever.
import { plainAddress } from '../../http/addresses.ts'
import type { Queryable } from '../../pg/db.ts'
import { sha256 } from '../secrets.ts'
import { type Counter, countAttempt, uncountAttempt } from './sign-in-failures.sql.ts'

/** Failures within 10 minutes. */
const accountLimit = 10
const addressLimit = 50

export interface Attempt {
  /** false: too many failures, the attempt must not be judged */
  allowed: boolean
  /** true for the one attempt that reached the limit */
  justLocked: boolean
  /** To be called once when it was right: the account's counter starts anew. */
  succeeded(): Promise<void>
  /** To be called once when it could not be judged (too busy): it did not happen. */
  undone(): Promise<void>
}

/**
 * Counts an attempt, in one atomic statement.
 * @param who a user by id, or the name that was typed when nobody has it; null = only the address counts
 * @param address of the client, as text
 */
export async function attempt(
  db: Queryable,
  who: { userId: number } | { name: string } | null,
  address: string,
): Promise<Attempt> {
  const counters: Counter[] = []
  if (who !== null) counters.push({ key: accountKey(who), limit: accountLimit })
  counters.push({ key: `ip:${networkOf(address)}`, limit: addressLimit })
  const counted = await countAttempt(db, counters)
  const limitOf = (key: string) => counters.find(counter => counter.key === key)?.limit ?? 0
  const allowed = counted.length > 0 && counted.every(row => row.failures <= limitOf(row.key))
  return {
    allowed,
    justLocked: allowed && counted.some(row => row.locked),
    succeeded: () => uncountAttempt(db, counters, who === null ? null : accountKey(who)),
    undone: () => uncountAttempt(db, counters, null),
  }
}

/** Names nobody has are counted under their hash, so that the table does not collect what people type. */
function accountKey(who: { userId: number } | { name: string }): string {
  if ('userId' in who) return `account:${who.userId}`
  return `account:?${sha256(who.name.trim().toLowerCase()).toString('base64url')}`
}

/** One customer usually has a whole /64 of IPv6, so that is what counts; anything unreadable counts as one address. */
export function networkOf(address: string): string {
  const plain = plainAddress(address)
  if (plain === undefined) return 'unknown'
  if (!plain.includes(':')) return plain
  const [head = '', tail] = plain.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0')
  return `${[...before, ...zeros, ...after].slice(0, 4).join(':')}::/64`
}
