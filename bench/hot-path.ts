// The warm path as a ratio to what Node can do at best in the same minutes: forward auth against a bare server, proxying against a
// bare undici proxy, with the access log on. Rounds alternate and medians count, so that a busy machine disturbs both sides alike.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BenchProcess, startBenchProcess, type Usage } from './bench-process.ts'
import type { Bench, BenchContext } from './context.ts'
import { type Emit, judged, median, rounded } from './figure.ts'
import { type Load, type LoadGenerator, type LoadResult, startLoadGenerator } from './load.ts'
import type { OutpostAbout } from './outpost-server.ts'
import { forwardAuthRequest, pageRequest } from './requests.ts'
import { launcherFlags } from './started-program.ts'

const rounds = 9
const roundMs = 1000
/** Long enough for the compiler of V8 to have done its work, also on a busy machine. */
const warmUpMs = 4000
const users = 50

export const hotPath: Bench = { name: 'hot-path', run }

async function run({ postgres, emit }: BenchContext): Promise<void> {
  const { target } = await postgres()
  const load = startLoadGenerator()
  const open: BenchProcess<{ port: number }>[] = []
  const folders: string[] = []
  const start = async <About extends { port: number }>(file: string, args: unknown, flags?: string[]) => {
    const started = await startBenchProcess<About>(file, { args, flags })
    open.push(started)
    return started
  }
  try {
    const short = await start('bare-server.ts', { kind: 'short' })
    const upstream = await start('bare-server.ts', { kind: 'upstream' })
    const proxy = await start('bare-server.ts', { kind: 'proxy', port: upstream.about.port })
    const args = {
      store: { target, schema: 'public' },
      upstreamPort: upstream.about.port,
      leaseMs: 30_000,
      users,
    }
    const outpost = await start<OutpostAbout>('outpost-server.ts', args, launcherFlags)
    const { about } = outpost

    const judging = { port: about.port, requests: about.forward.map(forwardAuthRequest) }
    await compare(load, emit, {
      name: 'forward_auth_warm_ratio',
      goal: '>= 0.6',
      ours: { process: outpost, load: judging },
      bare: { process: short, load: { port: short.about.port, requests: judging.requests } },
    })
    const passing = { port: about.port, requests: about.proxied.map(pageRequest) }
    await compare(load, emit, {
      name: 'proxy_warm_ratio',
      goal: '>= 0.7',
      ours: { process: outpost, load: passing },
      bare: { process: proxy, load: { port: proxy.about.port, requests: passing.requests } },
    })
    // Without a lease every request reads its session: what the first request of a user costs.
    const directory = await mkdtemp(join(tmpdir(), 'postern-bench-sessions-'))
    folders.push(directory)
    for (const [name, store] of Object.entries({ postgres: args.store, filesystem: { directory } })) {
      const cold = await start<OutpostAbout>(
        'outpost-server.ts',
        { ...args, store, leaseMs: 0 },
        launcherFlags,
      )
      const side = { port: cold.about.port, requests: cold.about.forward.map(forwardAuthRequest) }
      await measure(load, { process: cold, load: side }, roundMs)
      const { result } = await measure(load, { process: cold, load: side }, 2 * roundMs)
      const note = `${rounded(result.perSecond)}/s with 32 at once; p99 ${rounded(result.p99)} ms`
      emit({ name: `forward_auth_cold_${name}`, value: rounded(result.p50), unit: 'ms', note })
    }
    emit(
      judged({ name: 'outpost_rss_loaded', value: (await outpost.usage()).rss, unit: 'MiB', goal: '<= 130' }),
    )
  } finally {
    await Promise.all(open.map(one => one.close()))
    await load.close()
    for (const folder of folders) await rm(folder, { recursive: true, force: true })
  }
}

interface Side {
  process: BenchProcess<{ port: number }>
  load: Pick<Load, 'port' | 'requests'>
}

async function compare(
  load: LoadGenerator,
  emit: Emit,
  { name, goal, ours, bare }: { name: string; goal: string; ours: Side; bare: Side },
): Promise<void> {
  for (const side of [ours, bare]) await measure(load, side, warmUpMs)
  const [mine, theirs]: [Round[], Round[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    mine.push(await measure(load, ours, roundMs))
    theirs.push(await measure(load, bare, roundMs))
  }
  const perSecond = (all: Round[]) => median(all.map(({ result }) => result.perSecond))
  const microseconds = (all: Round[]) =>
    median(all.map(({ result, usage }) => (usage.cpu / result.requests) * 1e6))
  const busy = (all: Round[]) => median(all.map(({ usage }) => usage.busy)).toFixed(2)
  const note =
    `${rounded(perSecond(mine))}/s against ${rounded(perSecond(theirs))}/s; ` +
    `${rounded(microseconds(mine))} µs of CPU per request against ${rounded(microseconds(theirs))}; ` +
    `p99 ${rounded(median(mine.map(({ result }) => result.p99)))} ms; event loops ${busy(mine)} and ${busy(theirs)} busy`
  // Rounds that follow each other are compared: the load of the rest of the machine changes slowly.
  const ratios = mine.map(({ result }, at) => result.perSecond / (theirs[at]?.result.perSecond ?? Number.NaN))
  emit(judged({ name, value: median(ratios), unit: 'ratio', goal, note }))
  const cpu = microseconds(theirs) / microseconds(mine)
  emit({ name: name.replace('_ratio', '_cpu_ratio'), value: rounded(cpu), unit: 'ratio' })
}

interface Round {
  result: LoadResult
  usage: Usage
}

async function measure(load: LoadGenerator, { process, load: about }: Side, ms: number): Promise<Round> {
  await process.usage()
  const result = await load.run({ ...about, connections: 32, status: 200, ms })
  return { result, usage: await process.usage() }
}
