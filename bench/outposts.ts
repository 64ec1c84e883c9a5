// Outposts in every arrangement: forward auth and proxying, warm and cold, with both stores, one and two processes; and behind nginx,
// against nginx with a bare server as its judge. Each is a ratio to what Node does at best in the same seconds.
import { rm } from 'node:fs/promises'
import { type BenchProcess, startBenchProcess } from './bench-process.ts'
import { inTurns, type Round, ratioOf, type Side, summed } from './compare.ts'
import type { Bench, BenchContext } from './context.ts'
import { rounded } from './figure.ts'
import { temporaryFolder } from './left-over.ts'
import { type LoadGenerator, startLoadGenerator } from './load.ts'
import { startNginx } from './nginx.ts'
import type { OutpostAbout, OutpostArgs } from './outpost-server.ts'
import { barPicture } from './plot.ts'
import { forwardAuthRequest, pageRequest } from './requests.ts'
import { launcherFlags } from './started-program.ts'

const turns = { rounds: 3, ms: 700, warmUpMs: 1500 }
const users = 50

export const outposts: Bench = { name: 'outposts', run }

interface Measurement {
  what: 'forward auth' | 'proxying'
  store: string
  warm: boolean
  processes: number
  mine: Round[]
  bare: Round[]
}

async function run({ postgres, emit, document }: BenchContext): Promise<void> {
  const { target } = await postgres()
  const load = startLoadGenerator()
  const folder = await temporaryFolder('sessions')
  const bare = await startBare()
  const upstreamPort = bare.upstream.about.port
  const all: Measurement[] = []
  try {
    for (const store of ['postgres', 'filesystem'])
      for (const warm of [true, false]) {
        const place = store === 'postgres' ? { target, schema: 'public' } : { directory: folder }
        const args: OutpostArgs = { store: place, upstreamPort, leaseMs: warm ? 30_000 : 0, users }
        const two = [await startOutpost(args), await startOutpost(args)]
        try {
          for (const processes of [1, 2])
            for (const what of ['forward auth', 'proxying'] as const) {
              const rounds = await inTurns(load, sidesOf(what, two.slice(0, processes), bare), turns)
              all.push({ what, store, warm, processes, mine: rounds[0] ?? [], bare: rounds[1] ?? [] })
            }
          if (store === 'postgres' && warm) emitNginx(await behindNginx(load, two[0], bare), emit)
        } finally {
          await Promise.all(two.map(one => one.close()))
        }
      }
  } finally {
    await Promise.all(Object.values(bare).map(one => one.close()))
    await load.close()
    await rm(folder, { recursive: true, force: true })
  }
  for (const one of all) {
    const name = `${one.what.replace(' ', '_')}_${one.store}_${one.warm ? 'warm' : 'cold'}_${one.processes}`
    const { perSecond, p99 } = summed(one.mine)
    const note = `${rounded(perSecond)}/s, p99 ${rounded(p99)} ms`
    emit({ name, value: rounded(ratioOf(one.mine, one.bare)), unit: 'ratio', note })
  }
  document.picture('outposts', pictureOf(all), 'Requests per second of outposts, and of bare Node')
  document.table(tableOf(all))
}

type Bare = Record<'short' | 'judge' | 'upstream' | 'proxy', BenchProcess<{ port: number }>>

async function startBare(): Promise<Bare> {
  const start = (args: object) => startBenchProcess<{ port: number }>('bare-server.ts', { args })
  const [short, upstream] = [await start({ kind: 'short' }), await start({ kind: 'upstream' })]
  const judge = await start({ kind: 'judge' })
  return { short, judge, upstream, proxy: await start({ kind: 'proxy', port: upstream.about.port }) }
}

function startOutpost(args: OutpostArgs): Promise<BenchProcess<OutpostAbout>> {
  return startBenchProcess<OutpostAbout>('outpost-server.ts', { args, flags: launcherFlags })
}

/** Ours and what it is compared with. Any of the processes knows the sessions of all: they share the store. */
function sidesOf(what: Measurement['what'], outposts: BenchProcess<OutpostAbout>[], bare: Bare): Side[] {
  const requests = outposts.flatMap(({ about }) =>
    what === 'forward auth' ? about.forward.map(forwardAuthRequest) : about.proxied.map(pageRequest),
  )
  const other = what === 'forward auth' ? bare.short : bare.proxy
  return [
    { processes: outposts, load: { ports: outposts.map(({ about }) => about.port), requests } },
    { processes: [other], load: { ports: [other.about.port], requests } },
  ]
}

/** nginx alone, with a bare judge, and with an outpost as its judge. */
async function behindNginx(load: LoadGenerator, outpost: BenchProcess<OutpostAbout> | undefined, bare: Bare) {
  if (outpost === undefined) throw new TypeError('there is no outpost to be asked')
  const judges = [null, bare.judge.about.port, outpost.about.port]
  const nginx = await startNginx({ judges, upstream: bare.upstream.about.port })
  try {
    const requests = outpost.about.forward.map(pageRequest)
    const asked = [[], [bare.judge], [outpost]]
    const sides = nginx.ports.map((port, at) => ({
      ...{ processes: asked[at] ?? [], load: { ports: [port], requests } },
    }))
    return await inTurns(load, sides, turns)
  } finally {
    await nginx.close()
  }
}

function emitNginx([plain = [], judged = [], ours = []]: Round[][], emit: BenchContext['emit']): void {
  const [alone, bare, outpost] = [summed(plain), summed(judged), summed(ours)]
  const note = `${rounded(outpost.perSecond)}/s with an outpost as judge, ${rounded(bare.perSecond)}/s with a bare one, ${rounded(alone.perSecond)}/s without; p99 ${rounded(outpost.p99)} ms against ${rounded(bare.p99)}`
  const value = rounded(ratioOf(ours, judged))
  emit({ name: 'nginx_auth_request_ratio', value, unit: 'ratio', note })
}

function tableOf(all: Measurement[]) {
  return {
    title: 'Outposts',
    columns: [
      ...['', 'store', '', 'processes', 'per second', 'to bare Node', 'p50 ms', 'p99 ms', 'CPU µs'],
      'load generator busy',
    ],
    rows: all.map(({ what, store, warm, processes, mine, bare }) => {
      const own = summed(mine)
      return [
        ...[what, store, warm ? 'warm' : 'cold', processes, rounded(own.perSecond)],
        ...[rounded(ratioOf(mine, bare)), rounded(own.p50), rounded(own.p99), rounded(own.cpu)],
        Number(own.loaderBusy.toFixed(2)),
      ]
    }),
    note:
      'Cold: no lease, so that every request reads its session. CPU: of the outpost, per request. Bare: one process of `node:http` with a short ' +
      'answer, or one default undici proxy. The load generator is a process of its own; when its event loop is busy all the time, it and not ' +
      'the server is what is measured. Two processes, the load generator and the upstream share the cores, so two are not twice as fast here.',
  }
}

function pictureOf(all: Measurement[]): string {
  return barPicture({
    title: 'Requests per second through outposts (32 connections)',
    series: ['forward auth', 'proxying', 'bare Node'],
    panels: ['postgres', 'filesystem'].flatMap(store =>
      [true, false].map(warm => {
        const shown = all.filter(one => one.store === store && one.warm === warm)
        const bars = shown.map(({ what, processes, mine }) => ({
          ...{ label: `${what} × ${processes}`, value: summed(mine).perSecond },
          series: what === 'forward auth' ? 0 : 1,
        }))
        const bareBars = shown
          .filter(({ processes }) => processes === 1)
          .map(({ what, bare }) => ({
            ...{ label: what === 'forward auth' ? 'bare answer' : 'bare proxy', series: 2 },
            value: summed(bare).perSecond,
          }))
        return {
          title: `${store}, ${warm ? 'warm' : 'cold'}`,
          unit: 'per second',
          bars: [...bars, ...bareBars],
        }
      }),
    ),
    columns: 2,
  })
}
