// prompt=login with somebody signed in: the whole way through a real login and back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newCsrfValue } from '../../src/core/csrf.ts'
import { sessionKeyHash } from '../../src/core/sessions/cookie.ts'
import { sql } from '../../src/pg/db.ts'
import { authorize, authorizeParameters, locationOf, payloadOf, redeem } from './browser.ts'
import { addClient, addFlow, addUser, startCore } from './core-app.ts'

test('prompt=login asks for the password again, and the code says when it was given', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const client = await addClient(core, 'app')
  const { db } = core.database
  await db.count(
    sql`update users set password = ${await core.core.passwords.hash('correct horse')} where id = ${alice.id}`,
  )
  const flowId = await addFlow(core.database, 'sign-in', 'authentication', [
    ['identification', { pretend_user_exists: false }],
    ['password', {}],
    ['user_login', {}],
  ])
  await db.count(sql`update providers set authentication_flow_id = ${flowId}`)
  core.advance(60_000)
  const began = Math.floor(core.core.now().getTime() / 1000)

  let session = alice.cookie.split('=')[1] ?? ''
  const page = locationOf(await authorize(core, authorizeParameters(client, { prompt: 'login' }), alice))
  assert.equal(page.pathname, '/if/flow/sign-in/')
  const executor = async (body?: object) => {
    const csrf = newCsrfValue(core.core.secrets, sessionKeyHash(session))
    const response = await fetch(
      `${core.base}/api/v3/flows/executor/sign-in/?query=${encodeURIComponent(page.search.slice(1))}`,
      {
        method: body === undefined ? 'GET' : 'POST',
        headers: {
          cookie: `authentik_session=${session}; authentik_csrf=${csrf}`,
          'x-authentik-csrf': csrf,
          origin: core.base,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      },
    )
    for (const cookie of response.headers.getSetCookie())
      session = /^authentik_session=([^;]+)/.exec(cookie)?.[1] ?? session
    return (await response.json()) as Record<string, unknown>
  }
  let challenge = await executor()
  assert.equal(challenge.component, 'ak-stage-identification')
  challenge = await executor({ component: 'ak-stage-identification', uid_field: 'alice' })
  assert.equal(challenge.component, 'ak-stage-password')
  challenge = await executor({ component: 'ak-stage-password', password: 'wrong' })
  assert.equal(challenge.component, 'ak-stage-password')
  challenge = await executor({ component: 'ak-stage-password', password: 'correct horse' })
  assert.equal(challenge.component, 'xak-flow-redirect', JSON.stringify(challenge))
  const again = await fetch(new URL(String(challenge.to), core.base), {
    redirect: 'manual',
    headers: { cookie: `authentik_session=${session}` },
  })
  const code = locationOf(again).searchParams.get('code')
  assert.ok(code, String(again.headers.get('location')))
  const { body } = await redeem(core, client, code)
  assert.ok(Number(payloadOf(body.id_token).auth_time) >= began)
})
