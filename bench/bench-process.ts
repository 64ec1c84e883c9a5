// A server under test in a process of its own, and what it used. The file that is started calls `serveBench`.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export interface Usage {
  /** CPU seconds since the last time this was asked, and those of them spent in the system */
  cpu: number
  system: number
  /** share of the time since then in which the event loop was busy */
  busy: number
  /** MiB */
  rss: number
}

export interface BenchProcess<About> {
  /** what the process said when it was ready */
  readonly about: About
  usage(): Promise<Usage>
  close(): Promise<void>
}

/**
 * Starts `bench/<file>` and waits until it is ready.
 * @param options.flags of Node; those of the launcher for our own programs, none for what we compare with
 */
export async function startBenchProcess<About>(
  file: string,
  options: { args: unknown; flags?: string[]; stdio?: 'inherit' | 'ignore' | number },
): Promise<BenchProcess<About>> {
  const child = fork(join(import.meta.dirname, file), [JSON.stringify(options.args)], {
    execArgv: options.flags ?? [],
    stdio: ['ignore', 'inherit', options.stdio ?? 'inherit', 'ipc'],
  })
  const about = (await answer(child)) as About
  return {
    about,
    async usage() {
      const said = answer(child)
      child.send('usage')
      return (await said) as Usage
    },
    async close() {
      if (child.exitCode !== null) return
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
    },
  }
}

async function answer(child: ChildProcess): Promise<unknown> {
  const stop = new AbortController()
  const { signal } = stop
  try {
    const said = once(child, 'message', { signal })
    const gone = once(child, 'exit', { signal }).then(([code]) => {
      throw new Error(`a process of the benchmark ended with ${code}`)
    })
    for (const one of [said, gone]) one.catch(() => {})
    const [value] = (await Promise.race([said, gone])) as [unknown]
    return value
  } finally {
    stop.abort()
  }
}

/** The other side: prepares with the arguments, says what it has, and closes when the benchmark lets go. */
export async function serveBench<Args, About>(
  prepare: (args: Args) => Promise<{ about: About; close(): Promise<void> }>,
): Promise<void> {
  const { about, close } = await prepare(JSON.parse(process.argv[2] ?? 'null') as Args)
  let cpu = process.cpuUsage()
  let loop = performance.eventLoopUtilization()
  process.on('message', () => {
    const used = process.cpuUsage(cpu)
    const busy = performance.eventLoopUtilization(loop).utilization
    cpu = process.cpuUsage()
    loop = performance.eventLoopUtilization()
    const rss = process.memoryUsage.rss() / 1024 / 1024
    process.send?.({ cpu: (used.user + used.system) / 1e6, system: used.system / 1e6, busy, rss })
  })
  process.on('disconnect', () => {
    void close().finally(() => process.exit(0))
  })
  process.send?.(about)
}
