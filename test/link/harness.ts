// A link to a fake Core, with short pauses.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { TestContext } from 'node:test'
import { createLog, type Log } from '../../src/log.ts'
import { createWsLink, type LinkTimeouts } from '../../src/proxy/ws-link.ts'
import { LinkError, type LinkErrorKind } from '../../src/wire/link.ts'
import type { FakeCore } from './fake-core.ts'

const quick: Partial<LinkTimeouts> = {
  callMs: 2_000,
  reconnectMinMs: 10,
  reconnectMaxMs: 60,
  helloMs: 10_000,
}
export const instanceId = randomUUID()

export function linkTo(
  t: TestContext,
  core: FakeCore,
  options: {
    coreUrl?: string
    browserUrl?: string
    insecure?: boolean
    timeouts?: Partial<LinkTimeouts>
    log?: Log
  } = {},
) {
  const link = createWsLink({
    ...{ coreUrl: `${core.url}${core.prefix}/`, token: core.token, insecure: false, version: '2.0.0' },
    ...{ instanceId, log: collect().log, ...options },
    timeouts: { ...quick, ...options.timeouts },
  })
  t.after(() => link.close())
  return link
}

export function collect() {
  const lines: Record<string, unknown>[] = []
  const log = createLog({ level: 'info', logger: 'test', write: line => lines.push(JSON.parse(line)) })
  return { lines, log }
}

export function failsAs(kind: LinkErrorKind, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof LinkError, String(error))
    assert.equal(error.kind, kind, error.message)
    assert.match(error.message, message)
    assert.equal(error.message.includes('the-token'), false)
    return true
  }
}
