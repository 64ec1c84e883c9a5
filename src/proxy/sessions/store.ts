// What a session store must do; the PostgreSQL and the filesystem store share one conformance suite.
// A store sees hashes and sealed bytes only: it can neither read nor make a session.

export type SessionBackend = 'postgres' | 'filesystem'

/** One session, the same in both stores. `sealed` can be opened only with the cookie and the provider's cookie secret. */
export interface SessionRecord {
  /** SHA-256 of the cookie value */
  keyHash: Buffer
  clientId: string
  /** SHA-256 of the claim `sid`; null for header logins */
  sidHash: Buffer | null
  /** SHA-256 of the claim `sub` */
  userHash: Buffer
  sealed: Buffer
  createdAt: Date
  expiresAt: Date
}

/** Thrown by every method of a store that cannot reach its data now; the caller answers 503, never a login. */
export class StoreUnavailable extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StoreUnavailable'
  }
}

export interface SessionStore {
  readonly backend: SessionBackend
  /** Makes sure the store can be used (table or folder there, rights sufficient). @throws Error with one line that says what to do */
  prepare(): Promise<void>
  /** The record, or null when absent or expired. One indexed read, no write. @throws StoreUnavailable */
  load(keyHash: Buffer): Promise<SessionRecord | null>
  /** Those of the given keys that are live, in one statement. @throws StoreUnavailable */
  live(keyHashes: Buffer[]): Promise<Buffer[]>
  /** @throws StoreUnavailable */
  save(record: SessionRecord): Promise<void>
  /** Each returns how many sessions ended. @throws StoreUnavailable */
  deleteByKey(keyHash: Buffer): Promise<number>
  deleteBySid(sidHash: Buffer): Promise<number>
  /** @param createdBefore sessions made later stay */
  deleteByUser(userHash: Buffer, clientId?: string, createdBefore?: Date): Promise<number>
  /** @param createdBefore sessions made later stay */
  deleteByProvider(clientId: string, createdBefore?: Date): Promise<number>
  /** Everything; only the filesystem store is ever asked (gap in revocations longer than Core keeps them). */
  deleteAll(): Promise<number>
  /** Removes expired records in bounded batches; a second process doing the same is not an error. */
  cleanUp(): Promise<number>
  /** Rejects when the store is not usable now; for readiness. */
  check(): Promise<void>
  close(): Promise<void>
}
