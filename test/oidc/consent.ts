// Answers a consent page as the flow page does: challenge from the executor, token back, with the CSRF pair.
import { newCsrfValue } from '../../src/core/csrf.ts'
import { sessionKeyHash } from '../../src/core/sessions/cookie.ts'
import { authorize, authorizeParameters, locationOf } from './browser.ts'
import { addFlow, type TestClient, type TestCore, type TestUser } from './core-app.ts'

let flows = 0

/** A flow that always asks for consent. @returns its id */
export function consentFlow(test: TestCore, mode = 'always_require'): Promise<string> {
  return addFlow(test.database, `consent-${flows++}`, 'authorization', [['consent', { mode }]])
}

export interface Challenge {
  component: string
  [key: string]: unknown
}

export async function challengeAt(test: TestCore, page: URL, user: TestUser): Promise<Challenge> {
  const slug = page.pathname.split('/')[3]
  const url = `${test.base}/api/v3/flows/executor/${slug}/?query=${encodeURIComponent(page.search.slice(1))}`
  const response = await fetch(url, { headers: { cookie: user.cookie } })
  return (await response.json()) as Challenge
}

export async function answerAt(test: TestCore, page: URL, user: TestUser, body: object): Promise<Challenge> {
  const slug = page.pathname.split('/')[3]
  const csrf = newCsrfValue(test.core.secrets, sessionKeyHash(user.cookie.split('=')[1] ?? ''))
  const response = await fetch(`${test.base}/api/v3/flows/executor/${slug}/?query=`, {
    method: 'POST',
    headers: {
      cookie: `${user.cookie}; authentik_csrf=${csrf}`,
      'x-authentik-csrf': csrf,
      'content-type': 'application/json',
      origin: test.base,
    },
    body: JSON.stringify(body),
  })
  return (await response.json()) as Challenge
}

/** Goes through an authorization that asks for consent. @returns the code */
export async function codeAfterConsent(
  test: TestCore,
  client: TestClient,
  user: TestUser,
  changes: Record<string, string | undefined> = {},
): Promise<string> {
  const page = locationOf(await authorize(test, authorizeParameters(client, changes), user))
  const asked = await challengeAt(test, page, user)
  const done = await answerAt(test, page, user, { component: asked.component, token: asked.token })
  const code = new URL(String(done.to)).searchParams.get('code')
  if (code === null) throw new Error(`no code: ${JSON.stringify(done)}`)
  return code
}
