// How long a right that was taken away is still good somewhere: one user, several outposts that remember the session, one act, and
// the clock until each of them refuses. Used by the test and by the benchmark.
import { setTimeout as sleep } from 'node:timers/promises'
import { createVisitor, type Visitor } from '../proxy/visitor.ts'

/** The ways to lose it. */
export const acts = [
  'sign-out in one tab',
  'user deactivated',
  'session deleted',
  'bindings tightened',
] as const
export type Act = (typeof acts)[number]

export interface Measured {
  /** ms from the answer of the act until the last of the outposts had refused */
  refusedMs: number
  /** ms from the answer of the act until the beginning of the last request that was still let in; 0 when none was */
  acceptedMs: number
}

export type CoreApi = (method: string, path: string, body?: object) => Promise<Record<string, unknown>>

/** @param core origin @param token of an administrator. The API throws for any answer but 2xx */
export function createCoreApi(core: string, token: string): CoreApi {
  return async (method, path, body) => {
    const answer = await fetch(`${core}/api/v3/${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return text === '' ? {} : JSON.parse(text)
  }
}

/**
 * Makes a user and finds the application; then `measure` runs an act and its undoing as often as asked.
 * @param about.core origin of Core
 * @param about.application origin of the application, at an outpost where people sign in
 * @param about.ports of all outposts that must refuse
 */
export async function createRevocationWalk(about: {
  core: string
  token: string
  application: string
  slug: string
  ports: number[]
}): Promise<{ measure(act: Act): Promise<Measured> }> {
  const api = createCoreApi(about.core, about.token)
  const name = 'walker'
  const password = 'a password of the walk'
  const { pk } = await api('POST', 'core/users/', { username: name, name, path: 'users' })
  await api('POST', `core/users/${pk}/set_password/`, { password })
  const { pk: target } = await api('GET', `core/applications/${about.slug}/`)
  const { pk: other } = await api('POST', 'core/users/', { username: 'other', name: 'other', path: 'users' })
  let visitor = newVisitor()

  function newVisitor(): Visitor {
    return createVisitor({ ...about, name, password, address: '198.18.0.1' })
  }

  /** Until each outpost has the session in its memory, within one short while. */
  async function warm(): Promise<void> {
    for (const end = Date.now() + 30_000; ; await sleep(50)) {
      await visitor.signIn()
      const pages = await Promise.all(about.ports.map(port => visitor.read(port)))
      if (pages.every(({ status }) => status === 200)) return
      if (Date.now() > end) throw new Error(`not let in: ${pages.map(({ status }) => status)}`)
    }
  }

  async function perform(act: Act): Promise<void> {
    if (act === 'user deactivated') await api('PATCH', `core/users/${pk}/`, { is_active: false })
    if (act === 'bindings tightened')
      await api('POST', 'policies/bindings/', { target, user: other, order: 0 })
    if (act === 'sign-out in one tab') {
      const { status } = await visitor.signOut(about.ports[0])
      if (status !== 302) throw new Error(`the sign-out was answered with ${status}`)
    }
    if (act === 'session deleted') {
      const { results } = await api('GET', `core/authenticated_sessions/?user__username=${name}`)
      for (const { uuid } of results as { uuid: string }[])
        await api('DELETE', `core/authenticated_sessions/${uuid}/`)
    }
  }

  async function undo(act: Act): Promise<void> {
    if (act === 'user deactivated') await api('PATCH', `core/users/${pk}/`, { is_active: true })
    if (act === 'bindings tightened') {
      const { results } = await api('GET', `policies/bindings/?target=${target}`)
      for (const { pk } of results as { pk: string }[]) await api('DELETE', `policies/bindings/${pk}/`)
    }
    if (act === 'user deactivated' || act === 'session deleted') visitor = newVisitor()
  }

  /** Asks one outpost again and again until it refuses. */
  async function untilRefused(port: number, from: number, cookie: Visitor): Promise<Measured> {
    let acceptedMs = 0
    for (;;) {
      const askedAt = performance.now()
      const { status } = await cookie.read(port)
      const now = performance.now()
      if (status === 302 || status === 401) return { refusedMs: now - from, acceptedMs }
      if (status === 200) acceptedMs = askedAt - from
      if (now - from > 60_000) throw new Error(`the outpost at port ${port} still answers ${status}`)
      await sleep(2)
    }
  }

  return {
    async measure(act) {
      await warm()
      const before = visitor.copy()
      await perform(act)
      const from = performance.now()
      const each = await Promise.all(about.ports.map(port => untilRefused(port, from, before)))
      await undo(act)
      return {
        refusedMs: Math.max(...each.map(({ refusedMs }) => refusedMs)),
        acceptedMs: Math.max(...each.map(({ acceptedMs }) => acceptedMs)),
      }
    },
  }
}

/** The value below which this share of the values lies. @param share 0 to 1 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}
