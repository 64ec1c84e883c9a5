// The warm path as a ratio to what Node can do at best in the same minutes: forward auth against a bare server, proxying against a
// bare undici proxy, with the access log on.
import { type BenchProcess, startBenchProcess } from './bench-process.ts'
import { inTurns, ratioOf, type Side, summed } from './compare.ts'
import type { Bench, BenchContext } from './context.ts'
import { type Emit, judged, rounded } from './figure.ts'
import { type LoadGenerator, startLoadGenerator } from './load.ts'
import type { OutpostAbout } from './outpost-server.ts'
import { forwardAuthRequest, pageRequest } from './requests.ts'
import { launcherFlags } from './started-program.ts'

/** Long enough for the compiler of V8 to have done its work, also on a busy machine. */
const turns = { rounds: 9, ms: 1000, warmUpMs: 4000 }
const users = 50

export const hotPath: Bench = { name: 'hot-path', run }

async function run({ postgres, emit }: BenchContext): Promise<void> {
  const { target } = await postgres()
  const load = startLoadGenerator()
  const open: BenchProcess<unknown>[] = []
  const start = async <About extends { port: number }>(file: string, args: unknown, flags?: string[]) => {
    const started = await startBenchProcess<About>(file, { args, flags })
    open.push(started)
    return started
  }
  try {
    const short = await start('bare-server.ts', { kind: 'short' })
    const upstream = await start('bare-server.ts', { kind: 'upstream' })
    const proxy = await start('bare-server.ts', { kind: 'proxy', port: upstream.about.port })
    const store = { target, schema: 'public' }
    const args = { store, upstreamPort: upstream.about.port, leaseMs: 30_000, users }
    const outpost = await start<OutpostAbout>('outpost-server.ts', args, launcherFlags)
    const { forward, proxied } = outpost.about
    const side = (process: BenchProcess<{ port: number }>, requests: string[]): Side => ({
      ...{ processes: [process], load: { ports: [process.about.port], requests } },
    })

    const judging = forward.map(forwardAuthRequest)
    const sides = { ours: side(outpost, judging), bare: side(short, judging) }
    await compare(load, emit, { name: 'forward_auth_warm_ratio', goal: '>= 0.6', ...sides })
    const passing = proxied.map(pageRequest)
    const proxies = { ours: side(outpost, passing), bare: side(proxy, passing) }
    await compare(load, emit, { name: 'proxy_warm_ratio', goal: '>= 0.7', ...proxies })
    const { rss } = await outpost.usage()
    emit(judged({ name: 'outpost_rss_loaded', value: rss, unit: 'MiB', goal: '<= 130' }))
  } finally {
    await Promise.all(open.map(one => one.close()))
    await load.close()
  }
}

async function compare(
  load: LoadGenerator,
  emit: Emit,
  { name, goal, ours, bare }: { name: string; goal: string; ours: Side; bare: Side },
): Promise<void> {
  const [mine = [], theirs = []] = await inTurns(load, [ours, bare], turns)
  const [own, other] = [summed(mine), summed(theirs)]
  const note =
    `${rounded(own.perSecond)}/s against ${rounded(other.perSecond)}/s; ` +
    `${rounded(own.cpu)} µs of CPU per request against ${rounded(other.cpu)}; p99 ${rounded(own.p99)} ms; ` +
    `event loops ${own.busy.toFixed(2)} and ${other.busy.toFixed(2)} busy, that of the load generator ${own.loaderBusy.toFixed(2)} and ${other.loaderBusy.toFixed(2)}`
  emit(judged({ name, value: ratioOf(mine, theirs), unit: 'ratio', goal, note }))
  emit({ name: name.replace('_ratio', '_cpu_ratio'), value: rounded(other.cpu / own.cpu), unit: 'ratio' })
}
