// The official client of the reference product against our listener; each answer is checked against the document the client was
// generated from.
import assert from 'node:assert/strict'
import { AdminApi, Configuration, CoreApi, CryptoApi, EventsApi, RbacApi, RootApi } from '@goauthentik/api'
import { publishedSchema } from './published-schema.ts'
import type { TestCore } from './start-core.ts'

const published = await publishedSchema()

/** The official client, with every answer it gets checked against the document it was generated from. */
export function clientOf(core: TestCore, key = core.admin.key) {
  const seen: string[] = []
  const configuration = new Configuration({
    basePath: `${core.origin}/api/v3`,
    accessToken: key,
    middleware: [
      {
        async post({ url, init, response }) {
          if (!response.ok) return
          const path = new URL(url).pathname.slice('/api/v3'.length)
          const method = init.method ?? 'GET'
          const text = await response.clone().text()
          const problems = published.problems(
            method,
            path,
            response.status,
            text === '' ? undefined : JSON.parse(text),
          )
          assert.deepEqual(problems, [], `${method} ${path} ${response.status}`)
          seen.push(`${method} ${path}`)
        },
      },
    ],
  })
  return {
    seen,
    core: new CoreApi(configuration),
    rbac: new RbacApi(configuration),
    crypto: new CryptoApi(configuration),
    events: new EventsApi(configuration),
    admin: new AdminApi(configuration),
    root: new RootApi(configuration),
  }
}

/** Status of the answer to a call, 200 for any success. */
export async function statusOf(call: Promise<unknown>): Promise<number> {
  try {
    await call
    return 200
  } catch (error) {
    const { response } = error as { response?: Response }
    if (response === undefined) throw error
    return response.status
  }
}
