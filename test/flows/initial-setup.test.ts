import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { type Browser, createBrowser } from './browser.ts'
import { adminPassword, startCore } from './core-app.ts'

const setup = 'initial-setup'
const answer = {
  component: 'ak-stage-prompt',
  email: 'root@example.com',
  password: 'a long password',
  password_repeat: 'a long password',
}

async function opened(base: string): Promise<Browser> {
  const browser = createBrowser(base)
  await browser.open(setup)
  return browser
}

test('the first visitor chooses the password of the administrator and is signed in', async t => {
  const test = await startCore(t, { setUp: false })
  const browser = createBrowser(test.base)
  for (const path of ['/', '/setup']) {
    const home = await browser.get(path)
    assert.deepEqual([home.status, home.headers.get('location')], [302, '/if/flow/initial-setup/'])
  }
  assert.equal((await browser.open(setup)).status, 200)
  const form = await browser.challenge(setup)
  assert.equal(form.component, 'ak-stage-prompt')
  const fields = form.fields as { field_key: string; order: number }[]
  assert.deepEqual(
    fields.map(field => field.field_key),
    ['intro', 'email', 'password', 'password_repeat'],
  )
  const end = await browser.answer(setup, answer)
  assert.equal(end.component, 'xak-flow-redirect')
  assert.match((await browser.get('/api/v3/test/me/')).text, /akadmin/)
  assert.deepEqual(await test.core.db.first(sql`select email from users where username = 'akadmin'`), {
    email: 'root@example.com',
  })
  assert.deepEqual(
    (await test.core.db.rows<{ action: string }>(sql`select action from events order by created_at`)).map(
      e => e.action,
    ),
    ['password_set', 'login'],
  )
  const later = createBrowser(test.base)
  assert.equal((await later.signIn('akadmin', 'a long password')).component, 'xak-flow-redirect')
})

test('CVE-2023-46249: it happens once: afterwards the flow is not there, even when the administrator is deleted', async t => {
  const test = await startCore(t, { setUp: false })
  const browsers = await Promise.all(Array.from({ length: 4 }, () => opened(test.base)))
  const ends = await Promise.all(
    browsers.map((browser, n) =>
      browser.answer(setup, {
        ...answer,
        password: `long password ${n}`,
        password_repeat: `long password ${n}`,
      }),
    ),
  )
  const late404 = ends.filter(end => end.status === 404)
  const outcomes = ends.filter(end => end.status === 200).map(end => end.component)
  assert.equal(outcomes.length + late404.length, 4, 'nobody gets an error')
  assert.equal(outcomes.filter(component => component === 'xak-flow-redirect').length, 1)
  assert.equal((await test.core.db.rows(sql`select 1 from sessions where user_id is not null`)).length, 1)
  await test.core.db.count(sql`delete from users where username = 'akadmin'`)
  const late = createBrowser(test.base)
  assert.equal((await late.open(setup)).status, 404)
  assert.equal((await late.get(`/api/v3/flows/executor/${setup}/?query=`)).status, 404)
  await late.open('default-authentication-flow')
  assert.equal((await late.answer(setup, answer)).status, 404)
  assert.equal((await late.get('/')).headers.get('location'), '/flows/-/default/authentication/')
})

test('an installation that got its password from the environment has no set-up', async t => {
  const test = await startCore(t)
  const browser = createBrowser(test.base)
  assert.equal((await browser.open(setup)).status, 404)
  assert.equal((await browser.get(`/api/v3/flows/executor/${setup}/?query=`)).status, 404)
  assert.equal((await browser.signIn('akadmin', adminPassword)).component, 'xak-flow-redirect')
})

test('weak, unequal and guessable passwords and bad addresses are refused, and nothing is written', async t => {
  const test = await startCore(t, { setUp: false })
  const browser = await opened(test.base)
  const refused: [field: string, change: object][] = [
    ['password', { password: 'short', password_repeat: 'short' }],
    ['password', { password: '', password_repeat: '' }],
    ['password', { password: ['a long password'], password_repeat: 'a long password' }],
    ['password', { password: 'Root@Example.com', password_repeat: 'Root@Example.com' }],
    ['password', { password: 'x'.repeat(1025), password_repeat: 'x'.repeat(1025) }],
    ['password_repeat', { password_repeat: 'another password' }],
    ['email', { email: 'not an address' }],
  ]
  for (const [field, change] of refused) {
    const again = await browser.answer(setup, { ...answer, ...change })
    assert.equal(again.component, 'ak-stage-prompt')
    assert.deepEqual(Object.keys(again.response_errors ?? {}), [field])
  }
  assert.deepEqual(await test.core.db.first(sql`select setup_completed from installation`), {
    setup_completed: false,
  })
  assert.deepEqual(await test.core.db.first(sql`select password from users where username = 'akadmin'`), {
    password: null,
  })
})

test('where the operator set a token, it must be typed, and guesses of it are limited', async t => {
  const test = await startCore(t, { setUp: false, setupToken: 'the-token-of-the-operator' })
  const browser = await opened(test.base)
  const form = await browser.challenge(setup)
  assert.equal((form.fields as { field_key: string }[])[1]?.field_key, 'setup_token')
  for (const setup_token of [undefined, '', 'wrong', ['the-token-of-the-operator']]) {
    const again = await browser.answer(setup, { ...answer, setup_token })
    assert.deepEqual(Object.keys(again.response_errors ?? {}), ['setup_token'])
  }
  await test.core.db.count(sql`update sign_in_failures set failures = 49`)
  await browser.answer(setup, { ...answer, setup_token: 'wrong' })
  const locked = await browser.answer(setup, { ...answer, setup_token: 'the-token-of-the-operator' })
  assert.deepEqual(Object.keys(locked.response_errors ?? {}), ['setup_token'])
  await test.core.db.count(sql`delete from sign_in_failures`)
  const end = await browser.answer(setup, { ...answer, setup_token: ' the-token-of-the-operator ' })
  assert.equal(end.component, 'xak-flow-redirect')
})
