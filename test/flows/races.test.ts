import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { createBrowser } from './browser.ts'
import { addFlow, addUser, startCore, type TestCore } from './core-app.ts'

const login = 'default-authentication-flow'

async function addSteps(test: TestCore): Promise<void> {
  await addFlow(test, 'steps', 'authentication', [
    ['identification', {}],
    ['password', { failed_attempts_before_cancel: 100 }],
    ['user_login', {}],
  ])
}

test('two tabs share one plan: either may finish it, and the other goes on to its own target', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  await addSteps(test)
  const browser = createBrowser(test.base)
  await browser.open('steps', 'next=/a')
  await browser.open('steps', 'next=/b')
  await browser.answer('steps', { component: 'ak-stage-identification', uid_field: 'alice' }, 'next=/a')
  const second = await browser.answer(
    'steps',
    { component: 'ak-stage-identification', uid_field: 'bob' },
    'next=/b',
  )
  assert.equal(second.component, 'ak-stage-password', 'the other tab gets the current challenge')
  assert.equal(second.pending_user, 'alice')
  const done = await browser.answer(
    'steps',
    { component: 'ak-stage-password', password: alice.password },
    'next=/b',
  )
  assert.equal(done.to, '/a', 'where the plan was made for')
  const late = await browser.answer('steps', { component: 'ak-stage-password', password: 'x' }, 'next=/b')
  assert.equal(late.to, '/b')
})

test('an answer to a step that is over gets the current challenge', async t => {
  const test = await startCore(t)
  await addUser(test, 'alice')
  await addSteps(test)
  const browser = createBrowser(test.base)
  await browser.open('steps')
  await browser.answer('steps', { component: 'ak-stage-identification', uid_field: 'alice' })
  const wrong = await browser.answer('steps', { component: 'ak-stage-password', password: 'wrong' })
  const body = { component: 'ak-stage-password', password: 'wrong' }
  const stale = await browser.answer('steps', body, '', { 'x-flow-step': String(Number(wrong.step) - 1) })
  assert.equal(stale.component, 'ak-stage-password')
  assert.equal(stale.response_errors, undefined, 'it was not looked at')
  assert.equal(stale.step, wrong.step)
  const current = await browser.answer('steps', body, '', { 'x-flow-step': wrong.step })
  assert.equal(current.response_errors?.password?.length, 1)
})

test('the same right answer sent twice at once signs in once and is an error for nobody', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  await addSteps(test)
  const browser = createBrowser(test.base)
  await browser.open('steps')
  await browser.answer('steps', { component: 'ak-stage-identification', uid_field: 'alice' })
  const body = { component: 'ak-stage-password', password: alice.password }
  const answers = await Promise.all(Array.from({ length: 4 }, () => browser.copy().answer('steps', body)))
  for (const answer of answers) assert.equal(answer.status, 200)
  assert.deepEqual(
    new Set(answers.map(answer => answer.to ?? answer.component)),
    new Set(['/', '/if/flow/steps/']),
  )
  const sessions = await test.core.db.rows(sql`select 1 from sessions where user_id = ${alice.id}`)
  const events = await test.core.db.rows(sql`select 1 from events where action = 'login'`)
  assert.deepEqual([sessions.length, events.length], [1, 1])
})

test('GHSA-7h8m-vrxx-vr4m, GHSA-7j7j-66cv-m239: parallel guesses do not get past the lock, whose answer is that of a wrong password', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  await addSteps(test)
  const browsers = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const browser = createBrowser(test.base)
      await browser.open(login)
      return browser
    }),
  )
  const guess = { component: 'ak-stage-identification', uid_field: 'alice', password: 'wrong' }
  const answers = await Promise.all(browsers.map(browser => browser.answer(login, guess)))
  for (const answer of answers)
    assert.equal(answer.response_errors?.non_field_errors?.[0]?.string, 'Failed to authenticate.')
  const judged = await test.core.db.rows(sql`select 1 from events where action = 'login_failed'`)
  assert.equal(judged.length, 10, 'only ten were looked at')
  const locked = await test.core.db.rows(sql`select 1 from events where context @> '{"locked": true}'`)
  assert.equal(locked.length, 1)

  const right = await createBrowser(test.base).signIn('alice', alice.password)
  assert.equal(right.response_errors?.non_field_errors?.[0]?.string, 'Failed to authenticate.')
  const key = `account:${alice.id}`
  const minutes = () =>
    test.core.db.first<{ minutes: number; locks: number }>(sql`
      select round(extract(epoch from locked_until - now()) / 60)::int as minutes, locks from sign_in_failures where key = ${key}`)
  assert.deepEqual(await minutes(), { minutes: 5, locks: 1 })

  // Time passes, and the guessing goes on: the next lock is twice as long.
  await test.core.db.count(sql`update sign_in_failures set locked_until = now() - interval '1 second'`)
  await test.core.db.count(sql`delete from sign_in_failures where key like 'ip:%'`)
  for (let i = 0; i < 10; i++) await createBrowser(test.base).signIn('alice', 'wrong')
  assert.deepEqual(await minutes(), { minutes: 10, locks: 2 })

  await test.core.db.count(sql`update sign_in_failures set locked_until = now() - interval '1 second'`)
  assert.equal(
    (await createBrowser(test.base).signIn('alice', alice.password)).component,
    'xak-flow-redirect',
  )
  assert.deepEqual(
    await test.core.db.first(
      sql`select failures, locks, locked_until from sign_in_failures where key = ${key}`,
    ),
    { failures: 0, locks: 0, locked_until: null },
    'a success starts the account anew',
  )
})

test('successes never count, and names nobody has are locked like others', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  for (let i = 0; i < 12; i++)
    assert.equal(
      (await createBrowser(test.base).signIn('alice', alice.password)).component,
      'xak-flow-redirect',
    )
  const [ip] = await test.core.db.rows<{ failures: number }>(
    sql`select failures from sign_in_failures where key like 'ip:%'`,
  )
  assert.equal(ip?.failures, 0)
  for (let i = 0; i < 11; i++) await createBrowser(test.base).signIn(' NoBody', 'wrong')
  const [row] = await test.core.db.rows<{ key: string; failures: number; locked: boolean }>(sql`
    select key, failures, locked_until > now() as locked from sign_in_failures where key like 'account:?%'`)
  assert.deepEqual([row?.failures, row?.locked], [11, true])
  assert.equal(/nobody/i.test(row!.key), false, 'what was typed is not kept')
})

test('an address that failed fifty times is refused for every account', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  await test.core.db.count(sql`insert into sign_in_failures (key, failures, window_ends_at, expires_at)
    values ('ip:127.0.0.1', 49, now() + interval '5 minutes', now() + interval '1 day')`)
  await createBrowser(test.base).signIn('nobody', 'wrong')
  const refused = await createBrowser(test.base).signIn('alice', alice.password)
  assert.equal(refused.response_errors?.non_field_errors?.[0]?.string, 'Failed to authenticate.')
  const elsewhere = createBrowser(test.base)
  await elsewhere.open(login)
  const body = { component: 'ak-stage-identification', uid_field: 'alice', password: alice.password }
  const answer = await elsewhere.answer(login, body, '', { 'x-forwarded-for': '198.51.100.7' })
  assert.equal(answer.component, 'xak-flow-redirect', 'another address is not')
})

test('a plan that was changed in the table, or moved to another session, counts for nothing', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  await addFlow(test, 'steps', 'authentication', [
    ['identification', {}],
    ['password', {}],
    ['user_login', { remember_me_offset: 'days=1' }],
  ])
  const proven = createBrowser(test.base)
  await proven.open('steps')
  await proven.answer('steps', { component: 'ak-stage-identification', uid_field: 'alice' })
  const at = await proven.answer('steps', { component: 'ak-stage-password', password: alice.password })
  assert.equal(at.component, 'ak-stage-user-login')
  const thief = createBrowser(test.base)
  await thief.open('steps')
  await thief.answer('steps', { component: 'ak-stage-identification', uid_field: 'nobody' })
  await test.core.db.count(sql`
    update flow_plans p set context = q.context, position = q.position from flow_plans q where q.position > p.position`)
  assert.equal((await thief.challenge('steps')).component, 'ak-stage-identification')
  const [row] = await test.core.db.rows<{ context: object }>(sql`select context from flow_plans limit 1`)
  assert.equal(JSON.stringify(row!.context).includes('alice'), false)
})

test('a plan ends half an hour after its last answer, and starts over when the flow was changed', async t => {
  const test = await startCore(t)
  await addUser(test, 'alice')
  await addSteps(test)
  const browser = createBrowser(test.base)
  await browser.open('steps')
  await browser.answer('steps', { component: 'ak-stage-identification', uid_field: 'alice' }, 'next=/a')
  const lives = await test.core.db.first<{ minutes: number }>(sql`
    select round(extract(epoch from p.expires_at - now()) / 60)::int as minutes from flow_plans p
    join sessions s on s.id = p.session_id and s.expires_at = p.expires_at`)
  assert.equal(lives?.minutes, 30)
  await test.core.db.count(sql`update flows set version = version + 1 where slug = 'steps'`)
  assert.equal((await browser.challenge('steps', 'next=/evil')).component, 'ak-stage-identification')
  const again = await browser.answer(
    'steps',
    { component: 'ak-stage-identification', uid_field: 'alice' },
    'next=/evil',
  )
  assert.equal(again.component, 'ak-stage-password')
  await test.core.db.count(sql`update flow_plans set expires_at = now()`)
  assert.equal((await browser.challenge('steps')).component, 'ak-stage-identification')
})
