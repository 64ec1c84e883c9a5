// A worker that is about to be killed for its memory takes nothing more on: what it has ends, others do the rest.
import { readFileSync } from 'node:fs'
import { errorText, type Log } from '../../log.ts'

export interface MemoryGuard {
  /** True while the process uses more than four fifths of what its control group may. */
  isTight(): boolean
}

const share = 0.8
/** Asking costs a system call. */
const memoMs = 250
const warnEveryMs = 60_000

/**
 * @param options.limitBytes default: of the control group; Infinity = no limit
 * @param options.usedBytes resident memory of the process
 */
export function createMemoryGuard(options: {
  log: Log
  limitBytes?: number
  usedBytes?: () => number
  now?: () => number
}): MemoryGuard {
  const { log, limitBytes = groupLimit(), now = () => performance.now() } = options
  const usedBytes = options.usedBytes ?? (() => process.memoryUsage.rss())
  let tight = false
  let askedAt = Number.NEGATIVE_INFINITY
  let warnedAt = Number.NEGATIVE_INFINITY
  return {
    isTight() {
      if (limitBytes === Number.POSITIVE_INFINITY) return false
      if (now() - askedAt < memoMs) return tight
      askedAt = now()
      const used = usedBytes()
      tight = used > limitBytes * share
      if (tight && now() - warnedAt >= warnEveryMs) {
        warnedAt = now()
        log.warning('memory is short, no further tasks are begun here', {
          used_mib: Math.round(used / 2 ** 20),
          limit_mib: Math.round(limitBytes / 2 ** 20),
        })
      }
      return tight
    },
  }
}

/** Of the kernel's control groups, second or first version; what is as large as an address space is none. */
const limitFiles = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']

/**
 * @param read text of a file, throws when there is none
 * @returns bytes, Infinity for none
 */
export function groupLimit(read = (file: string) => readFileSync(file, 'utf8')): number {
  for (const file of limitFiles) {
    try {
      const bytes = Number(read(file).trim())
      return Number.isFinite(bytes) && bytes > 0 && bytes < 2 ** 60 ? bytes : Number.POSITIVE_INFINITY
    } catch (error) {
      if (!/ENOENT|EACCES|ENOTDIR/.test(errorText(error))) throw error
    }
  }
  return Number.POSITIVE_INFINITY
}
