import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { createBrowser } from './browser.ts'
import { addFlow, addUser, bind, startCore, type TestCore } from './core-app.ts'

const login = 'default-authentication-flow'

test('GHSA-5m6c-jp6f-2vcv: a flow leads to the path of this origin that the page was opened for, and to no other place', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const targets: [next: string, to: string | undefined][] = [
    ['/if/user/', '/if/user/'],
    [
      '/application/o/authorize/?client_id=a&state=b%20c',
      '/application/o/authorize/?client_id=a&state=b%20c',
    ],
    ['//evil.example', undefined],
    ['/\\evil.example', undefined],
    ['/\t/evil.example', undefined],
    ['https://evil.example/', undefined],
    ['javascript:alert(1)', undefined],
    ['if/user/', undefined],
  ]
  for (const [next, to] of targets) {
    const answer = await createBrowser(test.base).signIn(
      'alice',
      alice.password,
      `next=${encodeURIComponent(next)}`,
    )
    if (to !== undefined) assert.equal(answer.to, to)
    else
      assert.deepEqual(
        [answer.component, answer.error_message],
        ['ak-stage-access-denied', 'Invalid next URL'],
        next,
      )
  }
})

test('the target is the one of the first answer: a later address cannot change it', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const browser = createBrowser(test.base)
  await browser.signIn('alice', 'wrong', 'next=/first')
  assert.equal((await browser.signIn('alice', alice.password, 'next=/second')).to, '/first')
})

test('cancelling forgets how far the browser came', async t => {
  const test = await startCore(t)
  await addUser(test, 'alice')
  await addFlow(test, 'steps', 'authentication', [
    ['identification', {}],
    ['password', {}],
  ])
  const browser = createBrowser(test.base)
  await browser.open('steps')
  await browser.answer('steps', { component: 'ak-stage-identification', uid_field: 'alice' })
  const foreign = await browser.get('/flows/-/cancel/?next=/x', { 'sec-fetch-site': 'cross-site' })
  assert.equal(foreign.headers.get('location'), '/x')
  assert.equal(
    (await browser.challenge('steps')).component,
    'ak-stage-password',
    'another site cannot cancel',
  )
  const cancelled = await browser.get('/flows/-/cancel/?next=%2Fif%2Fflow%2Fsteps%2F')
  assert.equal(cancelled.headers.get('location'), '/if/flow/steps/')
  assert.equal((await browser.challenge('steps')).component, 'ak-stage-identification')
  const evil = await browser.get('/flows/-/cancel/?next=//evil.example')
  assert.equal(evil.headers.get('location'), '/flows/-/default/invalidation/')
})

test('a deny stage stops everybody it is not kept from by its policies', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const bob = await addUser(test, 'bob')
  await addFlow(test, 'careful', 'authentication', [
    ['identification', {}],
    ['password', {}],
    ['deny', { deny_message: 'Not today.' }],
    ['user_login', {}],
  ])
  await bindStep(test, 'careful', 'deny', bob)
  const enter = async (user: { username: string; password: string }) => {
    const browser = createBrowser(test.base)
    await browser.open('careful')
    await browser.answer('careful', { component: 'ak-stage-identification', uid_field: user.username })
    const answer = await browser.answer('careful', {
      component: 'ak-stage-password',
      password: user.password,
    })
    return { browser, answer }
  }
  assert.equal((await enter(alice)).answer.component, 'xak-flow-redirect')
  const { browser, answer } = await enter(bob)
  assert.deepEqual([answer.component, answer.error_message], ['ak-stage-access-denied', 'Not today.'])
  for (const body of [{ component: 'ak-stage-access-denied' }, {}])
    assert.equal((await browser.answer('careful', body)).component, 'ak-stage-access-denied')
  assert.equal((await test.core.db.rows(sql`select 1 from sessions where user_id = ${bob.id}`)).length, 0)
})

test('a stage left out by its policies is left out, but an authentication without proof signs nobody in', async t => {
  const test = await startCore(t)
  await addUser(test, 'alice')
  const bob = await addUser(test, 'bob')
  await addFlow(test, 'odd', 'authentication', [
    ['identification', {}],
    ['password', {}],
    ['user_login', {}],
  ])
  await bindStep(test, 'odd', 'password', bob)
  const browser = createBrowser(test.base)
  await browser.open('odd')
  const answer = await browser.answer('odd', { component: 'ak-stage-identification', uid_field: 'alice' })
  assert.equal(answer.component, 'ak-stage-flow-error')
})

test('who may run a flow is decided by its requirement and its bindings', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const bob = await addUser(test, 'bob')
  const stages: [string, object][] = [['deny', { deny_message: 'inside' }]]
  const flowId = await addFlow(test, 'bound', 'stage_configuration', stages)
  await bind(test, flowId, alice)
  await addFlow(test, 'members', 'stage_configuration', stages, { authentication: 'require_authenticated' })
  await addFlow(test, 'guests', 'stage_configuration', stages, { authentication: 'require_unauthenticated' })
  await addFlow(test, 'admins', 'stage_configuration', stages, { authentication: 'require_superuser' })
  await addFlow(test, 'outposts', 'stage_configuration', stages, { authentication: 'require_outpost' })
  const anonymous = createBrowser(test.base)
  const browsers = { anonymous, alice: createBrowser(test.base), bob: createBrowser(test.base) }
  await browsers.alice.signIn('alice', alice.password)
  await browsers.bob.signIn('bob', bob.password)
  const inside = async (slug: string, who: keyof typeof browsers) =>
    (await browsers[who].challenge(slug)).error_message === 'inside'
  const expected: Record<string, [boolean, boolean, boolean]> = {
    bound: [false, true, false],
    members: [false, true, true],
    guests: [true, false, false],
    admins: [false, false, false],
    outposts: [false, false, false],
  }
  for (const [slug, [nobody, forAlice, forBob]] of Object.entries(expected)) {
    assert.equal(await inside(slug, 'anonymous'), nobody, `${slug} anonymous`)
    assert.equal(await inside(slug, 'alice'), forAlice, `${slug} alice`)
    assert.equal(await inside(slug, 'bob'), forBob, `${slug} bob`)
  }
  const away = await anonymous.challenge('members', 'a=b')
  assert.equal(away.to, '/flows/-/default/authentication/?next=%2Fif%2Fflow%2Fmembers%2F%3Fa%3Db')
  const denied = await browsers.bob.challenge('bound')
  assert.deepEqual(
    [denied.component, denied.error_message, denied.pending_user],
    ['ak-stage-access-denied', 'Flow does not apply to current user.', 'bob'],
  )
  assert.equal(
    (await browsers.bob.challenge('bound', 'next=/x')).to,
    '/x',
    'message_continue with a target goes there',
  )
  await test.core.db.count(sql`update flows set denied_action = 'message' where slug = 'bound'`)
  assert.equal((await browsers.bob.challenge('bound', 'next=/x')).component, 'ak-stage-access-denied')
  await test.core.db.count(sql`update flows set denied_action = 'continue' where slug = 'bound'`)
  assert.equal((await browsers.bob.challenge('bound')).to, '/')
})

test('a wrong answer may send back to the start', async t => {
  const test = await startCore(t)
  await addUser(test, 'alice')
  await addFlow(test, 'steps', 'authentication', [
    ['identification', {}],
    ['password', {}],
  ])
  await test.core.db.count(sql`update flow_stage_bindings set invalid_response_action = 'restart'
    where flow_id = (select id from flows where slug = 'steps')`)
  const browser = createBrowser(test.base)
  await browser.open('steps')
  await browser.answer('steps', { component: 'ak-stage-identification', uid_field: 'alice' }, 'next=/kept')
  const back = await browser.answer('steps', { component: 'ak-stage-password', password: 'wrong' })
  assert.equal(back.component, 'ak-stage-identification')
  assert.deepEqual(back.response_errors, {
    non_field_errors: [{ string: 'Invalid password', code: 'invalid' }],
  })
})

test('a flow that does not exist is not found', async t => {
  const test = await startCore(t)
  const browser = createBrowser(test.base)
  await browser.open(login)
  assert.equal((await browser.answer('no-such-flow', {})).status, 404)
  assert.equal((await browser.get('/api/v3/flows/executor/no-such-flow/?query=')).status, 404)
})

async function bindStep(test: TestCore, slug: string, type: string, user: { id: number }): Promise<void> {
  const binding = await test.core.db.first<{ id: string }>(sql`select b.id from flow_stage_bindings b
    join flows f on f.id = b.flow_id join stages s on s.id = b.stage_id where f.slug = ${slug} and s.type = ${type}`)
  await bind(test, binding!.id, user)
}
