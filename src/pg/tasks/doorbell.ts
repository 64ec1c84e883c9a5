// The bell of a queue on the bus: rung after commit, so that a task starts within milliseconds. A lost bell costs one poll.

/** Bus message type; its body may say `in`, milliseconds until there is work. */
export function bellOf(queue: string): string {
  return `job:${queue}`
}

/** Work further ahead than this is left to the poll. */
export const furthestBellMs = 60_000
