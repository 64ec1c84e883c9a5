// What an end of sessions is about, as data: the cache, reads under way and open streams all ask the same question.
import type { SessionRecord } from './store.ts'

/** The clear columns of a session, as hex where they are bytes. */
export interface Subject {
  key: string
  clientId: string
  sid: string | null
  user: string
  /** ms since epoch */
  createdAt: number
}

export type Eviction =
  | { by: 'key'; key: string }
  | { by: 'sid'; sid: string }
  /** `before`: ms since epoch, sessions made later stay */
  | { by: 'user'; user: string; clientId?: string; before?: number }
  | { by: 'provider'; clientId: string; before?: number }
  | { by: 'all' }

/** @returns what evictions are compared with */
export function subjectOf(record: Omit<SessionRecord, 'sealed'>): Subject {
  return {
    key: record.keyHash.toString('hex'),
    clientId: record.clientId,
    sid: record.sidHash?.toString('hex') ?? null,
    user: record.userHash.toString('hex'),
    createdAt: record.createdAt.getTime(),
  }
}

/** @returns whether `eviction` ends the session of `subject` */
export function ends(eviction: Eviction, subject: Subject): boolean {
  switch (eviction.by) {
    case 'key':
      return subject.key === eviction.key
    case 'sid':
      return subject.sid === eviction.sid
    case 'user':
      return (
        subject.user === eviction.user &&
        (eviction.clientId === undefined || subject.clientId === eviction.clientId) &&
        isBefore(subject, eviction.before)
      )
    case 'provider':
      return subject.clientId === eviction.clientId && isBefore(subject, eviction.before)
    case 'all':
      return true
  }
}

function isBefore(subject: Subject, before: number | undefined): boolean {
  return before === undefined || subject.createdAt <= before
}
