// Messages between processes: one LISTEN per process, one channel, sent after commit, coalesced. Tables are the truth, a
// message is a hint; whoever listens re-reads its tables in `onResync`, on every (re)connect and every 30 s.

/** Body of a message: ids and revisions only, at most 7,900 bytes with its envelope. */
export type BusBody = Record<string, string | number | boolean | null>

export interface Bus {
  /** Sends to every process, this one included. Call it after commit (`tx.afterCommit`). Equal (type, body) pairs waiting together are sent once. */
  publish(type: string, body?: BusBody): void
  /** @returns a function that ends the subscription */
  subscribe(type: string, handle: (body: BusBody) => void): () => void
  /** Called after LISTEN is (again) in place, and every 30 s ± jitter: compare revisions with the tables and act on differences. */
  onResync(handle: () => Promise<void>): () => void
  /** False while the direct connection is down or the self-test has failed twice. */
  healthy(): boolean
  close(): Promise<void>
}
