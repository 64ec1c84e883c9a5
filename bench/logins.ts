// People sign in while events pass between processes: the events must not slow them down. And a small image, asked for by all of their
// pages, is nothing the database hears of.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bus } from '../src/pg/bus.ts'
import { addPeople, type Person, signIn } from '../test/e2e/people.ts'
import { createBackendWatch } from './backends.ts'
import type { Bench, BenchContext } from './context.ts'
import { judged, median, rounded } from './figure.ts'
import { temporaryFolder } from './left-over.ts'
import { startLoadGenerator } from './load.ts'
import { startPgNode } from './pg-node.ts'
import { databaseSettings, freePort, startProgram } from './started-program.ts'

const people = 6
const rounds = 8
const roundMs = 4000
const eventsPerSecond = 200
const iconBytes = 20_000
const iconMs = 5000

export const logins: Bench = { name: 'logins', run }

async function run({ postgres, emit }: BenchContext): Promise<void> {
  const { target, adminTarget } = await postgres()
  const token = randomBytes(30).toString('base64url')
  const core = `http://localhost:${await freePort()}`
  const server = await startProgram('server', {
    ...databaseSettings(target),
    AUTHENTIK_LISTEN__HTTP: `127.0.0.1:${new URL(core).port}`,
    AUTHENTIK_SECRET_KEY: randomBytes(48).toString('base64'),
    AUTHENTIK_BOOTSTRAP_TOKEN: token,
    AUTHENTIK_BOOTSTRAP_PASSWORD: randomBytes(12).toString('base64url'),
    AUTHENTIK_STORAGE__MEDIA__FILE__PATH: await temporaryFolder('media'),
    POSTERN_BASE_URL: core,
  })
  const node = await startPgNode(target, 'bench events', 2)
  const watch = await createBackendWatch(adminTarget)
  try {
    const crowd = await addPeople(target, people)
    await rate(core, crowd)
    const ratios: number[] = []
    const all: { quiet: number; busy: number }[] = []
    for (let round = 0; round < rounds; round++) {
      // Who goes first alternates: a machine that gets slower favours nobody.
      const beside = () => withEvents(node.bus, () => rate(core, crowd))
      const first = round % 2 === 0 ? await rate(core, crowd) : await beside()
      const second = round % 2 === 0 ? await beside() : await rate(core, crowd)
      const [quiet, busy] = round % 2 === 0 ? [first, second] : [second, first]
      all.push({ quiet, busy })
      ratios.push(busy / quiet)
    }
    const [quiet, busy] = [median(all.map(one => one.quiet)), median(all.map(one => one.busy))]
    const note = `${rounded(busy)}/s beside ${eventsPerSecond} events/s, ${rounded(quiet)}/s without; rounds ${ratios.map(one => one.toFixed(2)).join(', ')}`
    emit(
      judged({ name: 'logins_beside_events', value: median(ratios), unit: 'ratio', goal: '>= 0.95', note }),
    )

    const path = await uploadIcon(core, token)
    const load = startLoadGenerator()
    const requests = [`GET ${path} HTTP/1.1\r\nHost: ${new URL(core).host}\r\n\r\n`]
    const asked = { ports: [Number(new URL(core).port)], requests, connections: 16, status: 200 }
    try {
      await load.run({ ...asked, ms: 1000 })
      let result = await load.run({ ...asked, ms: 100 })
      const noticed = await watch.during(async () => {
        result = await load.run({ ...asked, ms: iconMs })
      })
      const speed = `p99 ${rounded(result.p99)} ms`
      const value = result.perSecond
      emit(judged({ name: 'media_icon_rate', value, unit: '1/s', goal: '>= 2000', note: speed }))
      const perRequest = noticed.statements / result.requests
      const most = `${noticed.statements} in all, of what runs beside: ${noticed.most}`
      emit(
        judged({
          name: 'media_icon_statements',
          value: perRequest,
          unit: 'statements',
          goal: '<= 0.01',
          note: most,
        }),
      )
    } finally {
      await load.close()
    }
  } finally {
    await watch.close()
    await node.close()
    await server.stop()
  }
}

/** Logins a second: each person begins anew as soon as they are in. */
async function rate(core: string, crowd: Person[]): Promise<number> {
  const began = performance.now()
  let done = 0
  await Promise.all(
    crowd.map(async person => {
      while (performance.now() - began < roundMs) {
        await signIn(core, person, 30_000)
        done++
      }
    }),
  )
  return done / ((performance.now() - began) / 1000)
}

async function withEvents<T>(bus: Pick<Bus, 'publish'>, work: () => Promise<T>): Promise<T> {
  let over = false
  const began = performance.now()
  const sending = (async () => {
    for (let sent = 0; !over; await sleep(2))
      while (sent < ((performance.now() - began) / 1000) * eventsPerSecond)
        bus.publish('bench.event', { id: sent++ })
  })()
  try {
    return await work()
  } finally {
    over = true
    await sending
  }
}

/** @returns the path of its content */
async function uploadIcon(core: string, token: string): Promise<string> {
  const bytes = randomBytes(iconBytes)
  Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'latin1').copy(bytes)
  const form = new FormData()
  form.append('name', 'icon.png')
  form.append('file', new Blob([bytes]), 'icon.png')
  const answer = await fetch(`${core}/api/v3/admin/file/`, {
    ...{ method: 'POST', headers: { authorization: `Bearer ${token}` }, body: form },
  })
  const { url } = (await answer.json()) as { url?: string }
  if (!answer.ok || url === undefined) throw new Error(`the upload of the benchmark was ${answer.status}`)
  return url
}
