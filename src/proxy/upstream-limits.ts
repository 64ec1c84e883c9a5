/** What one upstream may take of the outpost, so that a hanging application cannot take it whole. */
export interface UpstreamLimits {
  /** ms to be connected */
  connectMs: number
  /** ms to begin the answer; one that has begun may last */
  headersMs: number
  /** ms to answer an upgrade */
  upgradeMs: number
  /** requests under way at once; more are refused */
  running: number
}

export const upstreamLimits: UpstreamLimits = {
  connectMs: 10_000,
  headersMs: 300_000,
  upgradeMs: 60_000,
  running: 2048,
}
