// Password hashes: argon2id off the event loop, with a bounded queue. Stored as PHC strings.

export interface Passwords {
  /** PHC string of an argon2id hash. @throws ApiError 503 when the queue is longer than 10 s */
  hash(password: string): Promise<string>
  /** False also for null (no usable password), for which the same work is done. @throws ApiError 503 as above */
  verify(password: string, stored: string | null): Promise<boolean>
  /** True when `stored` was made with other parameters than today's. */
  needsRehash(stored: string): boolean
}
