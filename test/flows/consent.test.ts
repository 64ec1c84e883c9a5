import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { FlowEndHandler } from '../../src/core/flows/flows.ts'
import type { FlowStart } from '../../src/core/flows/start.ts'
import { sql } from '../../src/pg/db.ts'
import { createBrowser } from './browser.ts'
import { addFlow, addUser, startCore, type TestCore } from './core-app.ts'

const explicit = 'default-provider-authorization-explicit-consent'
const implicit = 'default-provider-authorization-implicit-consent'
const email = { id: 'email', name: 'Email address' }
const profile = { id: 'profile', name: 'General profile information' }

interface Ended {
  user: string | undefined
  data: unknown
  extra: unknown
}

/** A Core with an application and a signed-in user; `ended` collects the runs of the end `test`. */
async function prepare(t: Parameters<typeof startCore>[0]) {
  const ended: Ended[] = []
  const end: FlowEndHandler = async (_core, _request, session, data, context) => {
    ended.push({ user: session?.principal?.user.username, data, extra: context.extra })
    return { to: `https://app.example.com/callback?n=${ended.length}` }
  }
  const test = await startCore(t, { ends: { test: end } })
  const alice = await addUser(test, 'alice')
  const browser = createBrowser(test.base)
  await browser.signIn('alice', alice.password)
  const application = { id: randomUUID(), name: 'Grafana', slug: 'grafana' }
  await test.core.db.count(
    sql`insert into applications (id, slug, name) values (${application.id}, 'grafana', 'Grafana')`,
  )
  const begin = async (
    slug: string,
    consent: Partial<NonNullable<FlowStart['consent']>> = {},
    passive = false,
  ) => {
    const flow = await test.core.db.first<{ id: string }>(sql`select id from flows where slug = ${slug}`)
    test.start.next = {
      flowId: flow!.id,
      context: { scopes: ['openid'] },
      consent: { application, header: '', permissions: [email], ...consent },
      end: { kind: 'test', data: { state: 'xyz' } },
      passive,
    }
    return JSON.parse((await browser.get('/test/start')).text) as { url: string | null; asked: string | null }
  }
  return { test, alice, browser, begin, ended, plans: () => planCount(test) }
}

async function planCount({ core }: TestCore): Promise<number> {
  return (await core.db.rows(sql`select 1 from flow_plans`)).length
}

test('consent is asked once, remembered, and only what is new is asked again', async t => {
  const { test, browser, begin, ended } = await prepare(t)
  assert.deepEqual(await begin(explicit), { url: `/if/flow/${explicit}/`, asked: 'ak-stage-consent' })
  const asked = await browser.challenge(explicit)
  assert.equal(asked.header_text, "You're about to sign into Grafana.")
  assert.equal((asked.flow_info as { title: string }).title, 'Sign in to Grafana')
  assert.deepEqual(
    [asked.permissions, asked.additional_permissions, asked.pending_user],
    [[email], [], 'alice'],
  )
  for (const token of [undefined, '', 'x', 7]) {
    const again = await browser.answer(explicit, { component: 'ak-stage-consent', token })
    assert.equal(again.response_errors?.token?.[0]?.code, 'invalid')
  }
  assert.equal(ended.length, 0)
  const end = await browser.answer(explicit, { component: 'ak-stage-consent', token: asked.token })
  assert.equal(end.to, 'https://app.example.com/callback?n=1')
  assert.deepEqual(ended, [{ user: 'alice', data: { state: 'xyz' }, extra: { scopes: ['openid'] } }])
  const [stored] = await test.core.db.rows<{ permissions: string[]; days: number }>(sql`
    select permissions, round(extract(epoch from expires_at - now()) / 86400)::int as days from user_consents`)
  assert.deepEqual(stored, { permissions: ['email'], days: 28 })

  assert.deepEqual(await begin(explicit), { url: 'https://app.example.com/callback?n=2', asked: null })
  await begin(explicit, { permissions: [email, profile] })
  const more = await browser.challenge(explicit)
  assert.deepEqual([more.permissions, more.additional_permissions], [[email], [profile]])
  await browser.answer(explicit, { component: 'ak-stage-consent', token: more.token })
  assert.equal((await begin(explicit, { permissions: [profile] })).asked, null)
  await test.core.db.count(sql`update user_consents set expires_at = now()`)
  assert.equal((await begin(explicit)).asked, 'ak-stage-consent', 'an expired consent is none')
})

test('an end happens once, whatever is sent twice', async t => {
  const { browser, begin, ended, plans } = await prepare(t)
  await begin(explicit)
  const { token } = await browser.challenge(explicit)
  const body = { component: 'ak-stage-consent', token }
  const answers = await Promise.all([1, 2, 3].map(() => browser.copy().answer(explicit, body)))
  for (const answer of answers) assert.equal(answer.status, 200)
  assert.equal(ended.length, 1)
  assert.equal(await plans(), 0)
  const late = await browser.answer(explicit, body)
  assert.equal(late.component, 'ak-stage-access-denied')
  assert.match(late.error_message ?? '', /not valid any more/)
})

test('a flow that asks nothing ends at once and leaves no row', async t => {
  const { test, browser, begin, ended, plans } = await prepare(t)
  assert.deepEqual(await begin(implicit), { url: 'https://app.example.com/callback?n=1', asked: null })
  assert.equal(await plans(), 0)
  assert.equal(ended[0]?.user, 'alice')
  const statements = await test.database.countStatements(() => browser.get('/test/start'))
  assert.equal(statements.length, 2, 'the session, the flow')
})

test('a request that insists is asked even where nothing is asked, and before what was granted', async t => {
  const { browser, begin } = await prepare(t)
  assert.equal((await begin(implicit, { mode: 'always_require' })).asked, 'ak-stage-consent')
  const asked = await browser.challenge(implicit)
  assert.equal(asked.component, 'ak-stage-consent')
  assert.equal(
    (await browser.answer(implicit, { component: 'ak-stage-consent', token: asked.token })).component,
    'xak-flow-redirect',
  )
  await begin(explicit)
  const first = await browser.challenge(explicit)
  await browser.answer(explicit, { component: 'ak-stage-consent', token: first.token })
  assert.equal((await begin(explicit, { mode: 'always_require' })).asked, 'ak-stage-consent')
})

test('a request that may not ask is told what it would have been asked, and leaves nothing', async t => {
  const { begin, ended, plans } = await prepare(t)
  assert.deepEqual(await begin(explicit, {}, true), { url: null, asked: 'ak-stage-consent' })
  assert.deepEqual([await plans(), ended.length], [0, 0])
  assert.equal((await begin(implicit, {}, true)).asked, null)
})

test("the answer of one session is not another's, and a consent page opened by hand goes nowhere", async t => {
  const { test, alice, browser, begin } = await prepare(t)
  await begin(explicit)
  const { token } = await browser.challenge(explicit)
  const other = createBrowser(test.base)
  await other.signIn('alice', alice.password)
  const answer = await other.answer(explicit, { component: 'ak-stage-consent', token })
  assert.equal(answer.component, 'ak-stage-access-denied')
  assert.equal((await test.core.db.rows(sql`select 1 from user_consents`)).length, 0)
})

test('a flow that signs out still runs its end, without a session', async t => {
  const { test, browser, ended } = await prepare(t)
  const flow = await test.core.db.first<{ id: string }>(
    sql`select id from flows where slug = 'default-invalidation-flow'`,
  )
  test.start.next = { flowId: flow!.id, end: { kind: 'test', data: {} } }
  const started = JSON.parse((await browser.get('/test/start')).text)
  assert.deepEqual(started, { url: '/if/flow/default-invalidation-flow/', asked: 'ak-stage-user-logout' })
  assert.match((await browser.get('/api/v3/test/me/')).text, /alice/, 'starting it does not sign out yet')
  assert.equal(
    (await browser.challenge('default-invalidation-flow')).to,
    'https://app.example.com/callback?n=1',
  )
  assert.equal(ended[0]?.user, undefined)
  assert.match((await browser.get('/api/v3/test/me/')).text, /not_authenticated/)
})

test('a browser without a session is sent into a flow that leads to a path of ours, and to no other', async t => {
  const test = await startCore(t)
  const flowId = await addFlow(test, 'ask', 'stage_configuration', [['deny', {}]])
  const browser = createBrowser(test.base)
  const start = (end: FlowStart['end']) => {
    test.start.next = { flowId, end }
    return browser.get('/test/start')
  }
  const own = JSON.parse((await start({ kind: 'redirect', data: { to: '/a?b=c' } })).text)
  assert.equal(own.url, '/if/flow/ask/?next=%2Fa%3Fb%3Dc')
  assert.equal((await start({ kind: 'redirect', data: { to: 'https://elsewhere.example/' } })).status, 500)
  assert.equal((await start({ kind: 'unknown', data: {} })).status, 500)
})
