// CPU time of processes that are not ours to ask, from /proc.
import { globSync, readFileSync } from 'node:fs'

/** Of the kernel's clock, as /proc counts; 100 on every Linux that Node runs on. */
const ticksPerSecond = 100

/** Seconds of CPU a process has used, with those of its children: living ones, and ended ones it has waited for. */
export function cpuSeconds(pid: number): number {
  const all = globSync('/proc/[0-9]*/stat').map(file => statOf(file))
  const own = all.filter(one => one !== null && (one.pid === pid || one.parent === pid))
  return own.reduce((sum, one) => sum + (one?.ticks ?? 0), 0) / ticksPerSecond
}

/** The process that started a process: for a backend of PostgreSQL, the server. */
export function parentOf(pid: number): number {
  return statOf(`/proc/${pid}/stat`)?.parent ?? 0
}

/** Resident memory, MiB. */
export function residentMiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

/** Null when the process has ended meanwhile. */
function statOf(file: string): { pid: number; parent: number; ticks: number } | null {
  try {
    const text = readFileSync(file, 'latin1')
    // The name of the program is in brackets and may hold anything.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const ticks = [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0)
    return { pid: Number.parseInt(text, 10), parent: Number(fields[1]), ticks }
  } catch {
    return null
  }
}
