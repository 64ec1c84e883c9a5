// Many people who sign in at Core at once, each from an address of its own and with a browser of its own.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createPasswords } from '../../src/core/users/passwords.ts'
import { openConnection } from '../../src/pg/client.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { createBrowser } from '../flows/browser.ts'

export interface Person {
  name: string
  password: string
  /** told to Core as the client's, since it counts attempts under way by address */
  address: string
}

/** Puts users with a password into an installation's database; one hash is made for all of them. */
export async function addPeople(target: PgTarget, count: number): Promise<Person[]> {
  const password = randomBytes(12).toString('base64url')
  const hash = await createPasswords({ concurrency: 1 }).hash(password)
  const { client } = await openConnection(target, { applicationName: 'people' })
  try {
    await client.query(
      `insert into users (uuid, username, name, email, uid, password)
       select gen_random_uuid(), 'person-' || n, 'Person ' || n, '', encode(sha256(('person ' || n)::bytea), 'hex'), $2
       from generate_series(0, $1::int - 1) n`,
      [count, hash],
    )
  } finally {
    await client.end()
  }
  return Array.from({ length: count }, (_, at) => ({
    ...{ name: `person-${at}`, password },
    address: `198.18.${at >> 8}.${at & 255}`,
  }))
}

/**
 * Signs in with a new browser and asks the API who that is.
 * @returns how often it was told to come again in a moment (503)
 * @throws Error for any other answer than the right one
 */
export async function signIn(
  core: string,
  { name, password, address }: Person,
  patienceMs = 0,
): Promise<number> {
  const from = { 'x-forwarded-for': address }
  const flow = 'default-authentication-flow'
  const until = performance.now() + patienceMs
  let refusals = 0
  for (; ; refusals++) {
    const browser = createBrowser(core)
    const page = await browser.get(`/if/flow/${flow}/`, from)
    const body = { component: 'ak-stage-identification', uid_field: name, password }
    const answer =
      page.status === 200
        ? await browser.answer(flow, body, '', from)
        : { component: page.text, status: page.status }
    if (answer.component === 'xak-flow-redirect') {
      const me = await browser.get('/api/v3/core/users/me/', from)
      if (me.status === 200 && me.text.includes(`"${name}"`)) return refusals
      if (me.status !== 503) throw new Error(`${name} is ${me.status} ${me.text}`)
    } else if (answer.status !== 503) throw new Error(`${name}: ${JSON.stringify(answer)}`)
    if (performance.now() > until) throw new Error(`${name} was told to come again, the last time too late`)
    await sleep(200 + Math.random() * 800)
  }
}
