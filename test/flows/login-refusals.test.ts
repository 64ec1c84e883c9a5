import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { createBrowser } from './browser.ts'
import { addFlow, addUser, startCore } from './core-app.ts'

const login = 'default-authentication-flow'

test('CVE-2026-49443, CVE-2026-54730: no stage is skipped by an empty, foreign or early answer', async t => {
  const test = await startCore(t)
  const alice = await addUser(test, 'alice')
  await addFlow(test, 'steps', 'authentication', [
    ['identification', {}],
    ['password', {}],
    ['user_login', { remember_me_offset: 'days=1' }],
  ])
  const browser = createBrowser(test.base)
  await browser.open('steps')
  for (const body of [
    {},
    { component: 'ak-stage-password', password: 'x' },
    { component: 'ak-stage-user-login', remember_me: true },
  ])
    assert.equal((await browser.answer('steps', body)).component, 'ak-stage-identification')
  const rest = { uid_field: 'alice', password: alice.password, remember_me: true }
  for (const component of ['ak-stage-password', 'ak-stage-user-login', undefined])
    assert.equal((await browser.answer('steps', { ...rest, component })).component, 'ak-stage-identification')
  assert.equal((await test.core.db.rows(sql`select 1 from flow_plans`)).length, 0, 'none was looked at')
  await browser.answer('steps', { component: 'ak-stage-identification', uid_field: 'alice' })
  for (const body of [
    {},
    { component: 'ak-stage-user-login', remember_me: true },
    { component: 'ak-stage-identification', uid_field: 'alice', auth_method: 'password' },
    { component: 'ak-stage-password' },
    { component: 'ak-stage-password', password: '' },
    { component: 'ak-stage-password', password: ['x'] },
    { component: 'ak-stage-password', password: null },
  ])
    assert.equal((await browser.answer('steps', body)).component, 'ak-stage-password', JSON.stringify(body))
  assert.equal((await browser.challenge('steps')).component, 'ak-stage-password', 'and a GET goes nowhere')
  const unknown = await browser.answer('steps', { component: 'ak-stage-of-tomorrow' })
  assert.equal(unknown.status, 400)
  assert.equal((await browser.answer('steps', '{"component":')).status, 400)
  assert.equal((await browser.answer('steps', '[1]')).status, 400)
  assert.equal((await test.core.db.rows(sql`select 1 from sessions where user_id is not null`)).length, 0)
})

test('names the database could not take are answered like any other nonsense', async t => {
  const test = await startCore(t)
  const browser = createBrowser(test.base)
  await browser.open(login)
  for (const uid_field of ['', ' ', 'a\u0000b', '\ud800', 'x'.repeat(255), 7, null, ['alice']]) {
    const body = { component: 'ak-stage-identification', uid_field, password: 'x' }
    const answer = await browser.answer(login, body)
    assert.equal(answer.status, 200)
    assert.equal(answer.response_errors?.uid_field?.length, 1, JSON.stringify(uid_field))
  }
  const next = `next=${encodeURIComponent('/application/o/authorize/?client_id=%00&login_hint=%00')}`
  assert.equal((await browser.challenge(login, next)).component, 'ak-stage-identification')
})

test('a flow without a stage that proves anything signs nobody in', async t => {
  const test = await startCore(t)
  await addUser(test, 'alice')
  await addFlow(test, 'open-door', 'authentication', [
    ['identification', {}],
    ['user_login', {}],
  ])
  const browser = createBrowser(test.base)
  await browser.open('open-door')
  const answer = await browser.answer('open-door', {
    component: 'ak-stage-identification',
    uid_field: 'alice',
  })
  assert.equal(answer.component, 'ak-stage-flow-error')
  assert.equal('error' in answer, false, 'what is wrong is for administrators')
  assert.equal((await test.core.db.rows(sql`select 1 from sessions where user_id is not null`)).length, 0)
  const [event] = await test.core.db.rows<{ action: string }>(sql`select action from events`)
  assert.equal(event?.action, 'configuration_error')
})

test('a misconfigured or unknown stage stops the flow, it is never skipped', async t => {
  const test = await startCore(t)
  await addUser(test, 'alice')
  const missing = '00000000-0000-4000-8000-000000000000'
  const broken: [string, object][] = [
    ['captcha', {}],
    ['password', { failed_attempts_before_cancel: 0 }],
    ['identification', { password_stage: missing }],
  ]
  for (const [index, stage] of broken.entries()) {
    await addFlow(test, `broken-${index}`, 'authentication', [stage, ['user_login', {}]])
    const browser = createBrowser(test.base)
    assert.equal((await browser.challenge(`broken-${index}`)).component, 'ak-stage-flow-error')
  }
})
