// How other products sent logins to addresses that were not registered, and this one does not. docs/advisories.md lists them all.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRedirectUri } from '../../src/core/oidc/redirect-uri.ts'
import { launchUrl } from '../../src/core/policies/launch-url.ts'
import { sql } from '../../src/pg/db.ts'
import { authorize, authorizeParameters, codeFor, locationOf, redeem } from '../oidc/browser.ts'
import {
  addClient,
  addUser,
  startCore,
  type TestClient,
  type TestCore,
  type TestUser,
} from '../oidc/core-app.ts'

/** Asserts that the request is answered by a page of ours which sends nothing anywhere. */
async function refusedHere(core: TestCore, client: TestClient, user: TestUser, uri: string): Promise<void> {
  const response = await authorize(core, authorizeParameters(client, { redirect_uri: uri }), user)
  assert.equal(response.status, 400, uri)
  assert.equal(response.headers.get('location'), null, uri)
  assert.doesNotMatch(await response.text(), /[?&]code=/)
}

const strict = (url: string) =>
  ({ matching_mode: 'strict', url, redirect_uri_type: 'authorization' }) as const
const pattern = (url: string) => ({ ...strict(url), matching_mode: 'regex' }) as const

test('CVE-2024-52289: a redirect URI is text unless it is said to be a pattern, a pattern matches all of it, and none is learned', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app')
  await refusedHere(core, app, alice, 'https://appXexample.com/callback?kept=yes')
  await refusedHere(core, app, alice, 'https://app.example.com/callback?kept=yes&more')
  const wide = await addClient(core, 'wide', { redirectUris: [pattern('https://app\\.example\\.com/cb')] })
  await refusedHere(core, wide, alice, 'https://app.example.com/cb/../../evil')
  await refusedHere(core, wide, alice, 'https://evil.example/?https://app.example.com/cb')
  const empty = await addClient(core, 'empty', { redirectUris: [] })
  await refusedHere(core, empty, alice, 'https://first.example.com/')
  const row = await core.database.db.first(
    sql`select redirect_uris from oauth2_providers where client_id = ${empty.clientId}`,
  )
  assert.deepEqual(row, { redirect_uris: [] })
})

test('CVE-2024-21637, CVE-2026-9086: an address that runs code is refused in every spelling, even when it is registered', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const running = [
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    'blob:x',
    'java\tscript:x',
  ]
  const app = await addClient(core, 'app', { redirectUris: [...running.map(strict), pattern('.*')] })
  for (const uri of running) {
    await refusedHere(core, app, alice, uri)
    assert.equal(parseRedirectUri(uri), undefined)
    assert.equal(
      launchUrl({ meta_launch_url: uri, external_host: null, first_redirect_uri: null }, null),
      null,
    )
  }
  const good = await addClient(core, 'good')
  const asked = await authorize(core, authorizeParameters(good, { response_mode: 'form_post' }), alice)
  assert.equal(locationOf(asked).searchParams.get('error'), 'unsupported_response_mode')
})

test('CVE-2026-41569, GHSA-4mf2-f3wh-gvf2: no address that begins like a registered one is taken for it, at login or logout', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app', {
    redirectUris: [
      strict('https://app.example.com'),
      { ...strict('https://app.example.com/bye'), redirect_uri_type: 'logout' },
    ],
  })
  for (const uri of [
    ...[
      'https://app.example.com.evil',
      'https://app.example.com@evil.example',
      'https://app.example.com:1@evil.example',
    ],
    ...[
      'https://app.example.comevil',
      'https://app.example.com%2eevil',
      'https://app.example.com\\.evil',
      'https://APP.example.com',
    ],
    ...[
      'https://app.example.com:8443',
      'http://app.example.com',
      '//app.example.com',
      'https://app.example.com/bye',
    ],
  ])
    await refusedHere(core, app, alice, uri)
  const registered = { redirect_uri: 'https://app.example.com' }
  const code = await codeFor(core, app, alice, registered)
  const { body } = await redeem(core, app, code, registered)
  for (const uri of [
    'https://app.example.com/bye.evil',
    'https://app.example.com/bye/../x',
    'https://app.example.com',
  ]) {
    const query = new URLSearchParams({
      ...{ id_token_hint: String(body.id_token), post_logout_redirect_uri: uri },
    })
    const answer = await fetch(`${core.base}/application/o/app/end-session/?${query}`, {
      ...{ headers: { cookie: alice.cookie }, redirect: 'manual' },
    })
    assert.equal(answer.status, 400, uri)
  }
})

test('CVE-2024-8883, CVE-2026-3872, CVE-2026-7504, CVE-2026-18209: a pattern lets no trick through that two parsers read differently', async t => {
  const core = await startCore(t)
  const alice = await addUser(core, 'alice')
  const app = await addClient(core, 'app', {
    redirectUris: [pattern('https://app\\.example\\.com/.*'), pattern('http://127\\.0\\.0\\.1/.*')],
  })
  const parameters = authorizeParameters(app, { redirect_uri: 'https://app.example.com/any' })
  assert.ok(locationOf(await authorize(core, parameters, alice)).searchParams.get('code'))
  for (const uri of [
    ...[
      'https://app.example.com/a/../../b',
      'https://app.example.com/./x',
      'https://app.example.com\\@evil.example/',
    ],
    ...['https://app.example.com/%2e%2e/x', 'https://user@app.example.com/', 'https://app.example.com:443/x'],
    ...[
      'https://@app.example.com/x',
      'https://a@@app.example.com/x',
      'https:app.example.com/x',
      'https:///app.example.com/x',
    ],
    ...[
      'https://app.example.com/x#code=1',
      'https://app.example.com/x?code=planted',
      'https://app.example.com/x?state=planted',
    ],
    ...[
      'https://app.example.com/x?iss=planted',
      'http://127.0.0.1@evil.example/',
      'http://localhost/',
      'http://127.1/',
    ],
  ])
    await refusedHere(core, app, alice, uri)
  const exact = await addClient(core, 'exact', {
    redirectUris: [strict('http://localhost/cb'), strict('https://host*/cb')],
  })
  for (const uri of [
    'http://localhost:8080/cb',
    'http://localhost.evil.example/cb',
    'https://hostile.example/cb',
    'http://127.0.0.1/cb',
    'http://localhost/x/..;/cb',
  ])
    await refusedHere(core, exact, alice, uri)
})
