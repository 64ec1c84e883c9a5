import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { createBrowser } from './browser.ts'
import { addFlow, addUser, startCore } from './core-app.ts'

const login = 'default-authentication-flow'

test('a user signs in by JSON with name and password and is known to the API', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const browser = createBrowser(test.base)

  const page = await browser.open(login)
  assert.equal(page.status, 200)
  assert.equal(browser.cookies.has('authentik_session'), false, 'looking at the page makes no session')
  const first = await browser.challenge(login)
  assert.equal(first.component, 'ak-stage-identification')
  assert.equal(first.password_fields, true)
  assert.deepEqual(first.flow_info, {
    title: 'Sign in',
    background: '',
    background_themed_urls: null,
    cancel_url: '/flows/-/cancel/',
    layout: 'stacked',
  })
  assert.equal((await test.core.db.rows(sql`select 1 from sessions`)).length, 0, 'and leaves no row')

  const {
    status,
    step: _step,
    ...end
  } = await browser.answer(login, {
    component: 'ak-stage-identification',
    uid_field: 'ALICE@example.com',
    password: alice.password,
  })
  assert.equal(status, 200)
  assert.deepEqual(end, { component: 'xak-flow-redirect', to: '/', final_redirect: true })
  assert.match((await browser.get('/api/v3/test/me/')).text, /"username":"alice"/)
  assert.deepEqual(
    await test.core.db.rows(
      sql`select action, "user" ->> 'username' as username, context ->> 'auth_method' as method from events`,
    ),
    [{ action: 'login', username: 'alice', method: 'password' }],
  )
  assert.equal((await test.core.db.rows(sql`select 1 from flow_plans`)).length, 0, 'the plan is gone')
})

test('the cookies cannot be read by scripts or sent along by other sites', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const browser = createBrowser(test.base)
  await browser.open(login)
  const response = await fetch(`${test.base}/api/v3/flows/executor/${login}/?query=`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      cookie: `authentik_csrf=${browser.cookies.get('authentik_csrf')}`,
      'x-authentik-csrf': browser.cookies.get('authentik_csrf')!,
    },
    body: JSON.stringify({
      component: 'ak-stage-identification',
      uid_field: 'alice',
      password: alice.password,
    }),
  })
  const [session, csrf] = response.headers.getSetCookie()
  assert.match(session!, /^authentik_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax$/)
  assert.match(csrf!, /^authentik_csrf=[\w-]{64}; Path=\/; SameSite=Lax$/)
  const value = /authentik_session=([\w-]+)/.exec(session!)![1]!
  const rows = await test.core.db.rows<{ row: string }>(sql`select sessions::text as row from sessions`)
  assert.equal(rows.length, 1)
  assert.equal(rows[0]!.row.includes(value), false, 'the database does not know the cookie')
})

test('with an https address both cookies are Secure', async t => {
  const test = await startCore(t, { baseUrl: 'https://id.example.com' })
  const answer = await createBrowser(test.base).open(login)
  assert.match(answer.headers.getSetCookie()[0]!, /; Secure;/)
  assert.equal(answer.headers.get('strict-transport-security'), 'max-age=31536000')
})

test('CVE-2023-39522: unknown user, wrong password and inactive user get the same answer', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  await addUser(test, 'frozen', { active: false })
  const bodies = []
  for (const [name, password] of [
    ['alice', 'wrong'],
    ['nobody', 'wrong'],
    ['frozen', alice.password],
  ]) {
    const browser = createBrowser(test.base)
    const answer = await browser.signIn(name!, password!)
    bodies.push(answer)
    assert.equal(browser.cookies.has('authentik_session'), true, 'the failed attempt is remembered')
    assert.match((await browser.get('/api/v3/test/me/')).text, /not_authenticated/)
  }
  assert.deepEqual(bodies[0]!.response_errors, {
    non_field_errors: [{ string: 'Failed to authenticate.', code: 'invalid' }],
  })
  assert.deepEqual(bodies[1], bodies[0])
  assert.deepEqual(bodies[2], bodies[0])
  const events = await test.core.db.rows<{ action: string; context: { username: string } }>(
    sql`select action, context from events order by created_at`,
  )
  assert.deepEqual(
    events.map(event => [event.action, event.context.username]),
    [
      ['login_failed', 'alice'],
      ['login_failed', 'nobody'],
      ['login_failed', 'frozen'],
    ],
  )
  assert.equal(JSON.stringify(events).includes('wrong'), false, 'no event holds a password')
})

test('with the password on a page of its own, an unknown name looks like a known one', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  await addFlow(test, 'steps', 'authentication', [
    ['identification', {}],
    ['password', { failed_attempts_before_cancel: 3 }],
    ['user_login', {}],
  ])
  const shapes = []
  for (const name of ['alice', 'nobody']) {
    const browser = createBrowser(test.base)
    await browser.open('steps')
    const second = await browser.answer('steps', { component: 'ak-stage-identification', uid_field: name })
    assert.equal(second.component, 'ak-stage-password')
    assert.equal(second.pending_user, name)
    const wrong = await browser.answer('steps', { component: 'ak-stage-password', password: 'wrong' })
    assert.deepEqual(wrong.response_errors, { password: [{ string: 'Invalid password', code: 'invalid' }] })
    await browser.answer('steps', { component: 'ak-stage-password', password: 'wrong' })
    const third = await browser.answer('steps', { component: 'ak-stage-password', password: 'wrong' })
    assert.equal(third.component, 'ak-stage-access-denied')
    shapes.push([Object.keys(second), Object.keys(wrong), third.error_message])
  }
  assert.deepEqual(shapes[0], shapes[1])

  const browser = createBrowser(test.base)
  await browser.open('steps')
  await browser.answer('steps', { component: 'ak-stage-identification', uid_field: 'alice' })
  const end = await browser.answer('steps', { component: 'ak-stage-password', password: alice.password })
  assert.equal(end.component, 'xak-flow-redirect')
})

test('GHSA-f24x-5g9q-753f: a login gives the session a new key and a new id, and the old cookie is dead', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const browser = createBrowser(test.base)
  await browser.signIn('alice', 'wrong')
  const [before] = await test.core.db.rows<{ id: string }>(sql`select id from sessions`)
  const old = browser.copy()
  assert.equal((await browser.signIn('alice', alice.password)).component, 'xak-flow-redirect')
  const after = await test.core.db.rows<{ id: string; user_id: number }>(
    sql`select id, user_id from sessions`,
  )
  assert.equal(after.length, 1, 'the anonymous row is gone')
  assert.notEqual(after[0]!.id, before!.id)
  assert.notEqual(browser.cookies.get('authentik_session'), old.cookies.get('authentik_session'))
  assert.match((await old.get('/api/v3/test/me/')).text, /not_authenticated/)
  assert.match((await browser.get('/api/v3/test/me/')).text, /alice/)
})

test('whoever is signed in already goes on to the target', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const browser = createBrowser(test.base)
  await browser.signIn('alice', alice.password)
  const again = await browser.challenge(login, 'next=%2Fif%2Fuser%2F')
  assert.deepEqual(again, { component: 'xak-flow-redirect', to: '/if/user/', final_redirect: true })
})

test('signing in again as the same user keeps the id of the session, as another ends it', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const bob = await addUser(test, 'bob')
  const browser = createBrowser(test.base)
  await browser.signIn('alice', alice.password)
  const ids = () => test.core.db.rows<{ id: string; user_id: number }>(sql`select id, user_id from sessions`)
  const [first] = await ids()
  const flow = await test.core.db.first<{ id: string }>(sql`select id from flows where slug = ${login}`)
  const start = { flowId: flow!.id, reauthenticate: true, end: { kind: 'redirect', data: { to: '/x' } } }
  test.start.next = start
  assert.match((await browser.get('/test/start')).text, /"url":"\/if\/flow\/default-authentication-flow\/"/)
  const old = browser.copy()
  assert.equal((await browser.signIn('alice', alice.password)).to, '/x')
  assert.deepEqual(await ids(), [first])
  assert.match((await old.get('/api/v3/test/me/')).text, /not_authenticated/)

  await browser.get('/test/start')
  assert.equal((await browser.signIn('bob', bob.password)).to, '/x')
  const [now, ...others] = await ids()
  assert.deepEqual([now?.user_id, others.length], [bob.id, 0])
  assert.notEqual(now!.id, first!.id)
  assert.equal(test.published.filter(message => message.type === 'session.end').length, 1)
})

test('staying signed in is asked where it is offered, and lengthens the session', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  await addFlow(test, 'steps', 'authentication', [
    ['identification', {}],
    ['password', {}],
    ['user_login', { session_duration: 'hours=1', remember_me_offset: 'days=30' }],
  ])
  for (const [remember, seconds] of [
    [true, 30 * 86_400 + 3600],
    [false, 3600],
  ] as const) {
    const browser = createBrowser(test.base)
    await browser.open('steps')
    await browser.answer('steps', { component: 'ak-stage-identification', uid_field: 'alice' })
    const asked = await browser.answer('steps', { component: 'ak-stage-password', password: alice.password })
    assert.equal(asked.component, 'ak-stage-user-login')
    assert.equal(asked.pending_user, 'alice')
    const unsaid = await browser.answer('steps', { component: 'ak-stage-user-login' })
    assert.equal(unsaid.component, 'ak-stage-user-login', 'no answer is not a no')
    await browser.answer('steps', { component: 'ak-stage-user-login', remember_me: remember })
    const row = await test.core.db.first<{ left: number }>(sql`
      select extract(epoch from expires_at - now())::float8 as left from sessions where user_id is not null
      order by created_at desc limit 1`)
    assert.ok(Math.abs(row!.left - seconds) < 60, `${row!.left} s are left`)
  }
})

test('a session until the browser is closed ends after half a day without use, one of a given length does not', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const browser = createBrowser(test.base)
  await browser.signIn('alice', alice.password)
  const unused = (hours: number) =>
    test.core.db.count(sql`update sessions set last_used_at = now() - ${hours} * interval '1 hour'`)
  await unused(11.9)
  assert.match((await browser.get('/api/v3/test/me/')).text, /alice/)
  await unused(12.1)
  assert.match((await browser.get('/api/v3/test/me/')).text, /not_authenticated/)
  await test.core.db.count(
    sql`update stages set config = config || '{"session_duration": "days=2"}' where type = 'user_login'`,
  )
  await browser.signIn('alice', alice.password)
  await unused(40)
  assert.match((await browser.get('/api/v3/test/me/')).text, /alice/)
})

test('a login may end the sessions of the same user in other browsers', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const first = createBrowser(test.base)
  await first.signIn('alice', alice.password)
  await test.core.db.count(
    sql`update stages set config = config || '{"terminate_other_sessions": true}' where type = 'user_login'`,
  )
  const second = createBrowser(test.base)
  await second.signIn('alice', alice.password)
  assert.match((await first.get('/api/v3/test/me/')).text, /not_authenticated/)
  assert.match((await second.get('/api/v3/test/me/')).text, /alice/)
})

test('an authenticated API request costs one statement besides its own, a login by one form eight', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  const browser = createBrowser(test.base)
  await browser.open(login)
  const answer = { component: 'ak-stage-identification', uid_field: 'alice', password: alice.password }
  const signingIn = await test.database.countStatements(() => browser.answer(login, answer))
  assert.equal(signingIn.length, 8, signingIn.join('\n'))
  const asking = await test.database.countStatements(() => browser.get('/api/v3/test/me/'))
  assert.equal(asking.length, 1, asking.join('\n'))
})
