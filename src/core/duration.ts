// Durations as stored and spoken by the API: `weeks=1;days=2;hours=3;minutes=4;seconds=5;milliseconds=6`.

const units: Record<string, number> = {
  microseconds: 0.001,
  milliseconds: 1,
  seconds: 1_000,
  minutes: 60_000,
  hours: 3_600_000,
  days: 86_400_000,
  weeks: 604_800_000,
}

/**
 * @param text parts `unit=number` joined by `;` or `,`, decimals allowed; empty = zero
 * @returns milliseconds, or null when the text is no duration
 */
export function parseDuration(text: string): number | null {
  let total = 0
  for (const part of text.split(/[;,]/)) {
    if (part.trim() === '') continue
    const match = /^\s*([a-z]+)\s*=\s*(\d+(?:\.\d+)?)\s*$/.exec(part)
    const unit = match === null ? undefined : units[match[1]!]
    if (match === null || unit === undefined) return null
    total += unit * Number(match[2])
  }
  return total
}

/** Milliseconds of a duration that was validated when it was stored. @throws Error when it was not */
export function durationMs(text: string): number {
  const ms = parseDuration(text)
  if (ms === null) throw new Error(`not a duration: ${text}`)
  return ms
}
