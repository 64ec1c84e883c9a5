import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves once `condition` holds; throws when it does not within `timeoutMs`. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const until = Date.now() + timeoutMs
  while (!(await condition())) {
    if (Date.now() > until) throw new Error(`still not so after ${timeoutMs} ms: ${condition}`)
    await sleep(5)
  }
}
