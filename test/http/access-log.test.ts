import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { type AccessLine, accessFragment, createAccessLog } from '../../src/http/access-log.ts'
import { redactUri } from '../../src/http/redact.ts'
import { createRequestIds, requestId } from '../../src/http/request-id.ts'

const line: AccessLine = {
  uri: '/outpost.goauthentik.io/auth/nginx',
  host: 'app.example',
  logger: 'authentik.outpost.proxyv2.application',
  method: 'GET',
  remote: '10.42.1.2:40520',
  requestId: 'id-0',
  runtimeMs: 0.3239,
  scheme: 'http',
  size: 0,
  status: 200,
  fragment: accessFragment({ name: 'provider', user: 'akadmin', userAgent: 'agent/1' }),
}

function logFile(t: TestContext) {
  const folder = mkdtempSync('/tmp/postern-access-')
  const file = join(folder, 'log')
  const fd = openSync(file, 'w')
  t.after(() => {
    closeSync(fd)
    rmSync(folder, { recursive: true })
  })
  const lines = () =>
    readFileSync(file, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map(text => JSON.parse(text))
  return { fd, lines }
}

test('a line has exactly the documented fields', async t => {
  const { fd, lines } = logFile(t)
  const log = createAccessLog({ fd, now: () => new Date('2026-01-02T03:04:05.678Z') })
  log.write(line)
  await log.close()
  assert.deepEqual(lines(), [
    {
      event: '/outpost.goauthentik.io/auth/nginx',
      host: 'app.example',
      level: 'info',
      logger: 'authentik.outpost.proxyv2.application',
      method: 'GET',
      name: 'provider',
      remote: '10.42.1.2:40520',
      request_id: 'id-0',
      runtime: '0.324',
      scheme: 'http',
      size: 0,
      status: 200,
      timestamp: '2026-01-02T03:04:05Z',
      user: 'akadmin',
      user_agent: 'agent/1',
    },
  ])
})

test('whatever a client sends, each line stays one line of JSON with the same texts', async t => {
  const { fd, lines } = logFile(t)
  const log = createAccessLog({ fd })
  const sent: string[] = []
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      sent.push(text)
      log.write({
        ...line,
        host: text,
        method: text,
        fragment: accessFragment({ name: text, userAgent: text }),
      })
    }),
  )
  await log.close()
  const wellFormed = sent.map(text => text.toWellFormed())
  assert.deepEqual(
    lines().map(one => one.host),
    wellFormed,
  )
  assert.deepEqual(
    lines().map(one => one.user_agent),
    wellFormed,
  )
  assert.ok(lines().every(one => !('user' in one)))
})

test('secrets in queries are redacted, also encoded ones and those inside other parameters', () => {
  const cases: Record<string, string> = {
    '/callback?code=abc&state=def&x=1': '/callback?code=***&state=***&x=1',
    '/x?%63ode=abc&ID_TOKEN_HINT=a.b.c&flow_token=t&access_token=u':
      '/x?%63ode=***&ID_TOKEN_HINT=***&flow_token=***&access_token=***',
    '/start?rd=https%3A%2F%2Fapp%2Fcb%3Fcode%3Dabc%26a%3Db': `/start?rd=${encodeURIComponent('https://app/cb?code=***&a=b')}`,
    '/flows?query=client_id%3Da%26state%3Db': `/flows?query=${encodeURIComponent('client_id=a&state=***')}`,
    '/x?code=': '/x?code=',
    '/x?codes=1&plain': '/x?codes=1&plain',
    '/code=abc': '/code=abc',
    '/x?a=%zz&token=%zz': '/x?a=%zz&token=***',
  }
  for (const [uri, shown] of Object.entries(cases)) assert.equal(redactUri(uri), shown)
})

test('no URI makes a code or token readable, however deep it is wrapped', () => {
  const wrap = (uri: string, times: number): string =>
    times === 0 ? uri : wrap(`/x?next=${encodeURIComponent(uri)}`, times - 1)
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 6 }),
      fc.constantFrom('code', 'state', 'token', 'my_token', 'client_secret', 'Password'),
      (depth, name) => {
        assert.ok(!redactUri(wrap(`/cb?a=b&${name}=hunter2`, depth)).includes('hunter2'))
      },
    ),
  )
  fc.assert(fc.property(fc.string(), text => void redactUri(`/x?${text}`)))
})

test('lines are written when enough have gathered, after a while, and on flush', async t => {
  const { fd, lines } = logFile(t)
  const log = createAccessLog({ fd, intervalMs: 60_000, maxBytes: 1000 })
  log.write(line)
  assert.equal(lines().length, 0)
  await log.flush()
  assert.equal(lines().length, 1)
  for (let at = 0; at < 10; at++) log.write(line)
  await log.flush()
  assert.equal(lines().length, 11)
  log.setEnabled(false)
  log.write(line)
  await log.close()
  assert.equal(lines().length, 11)
})

test('lines of another logger are written in order with access lines, whatever the level', async t => {
  const { fd, lines } = logFile(t)
  const log = createAccessLog({ fd, intervalMs: 60_000, enabled: false })
  log.write(line)
  log.append('{"event":"one"}\n')
  log.setEnabled(true)
  log.write(line)
  log.append('{"event":"two"}\n')
  await log.close()
  assert.deepEqual(
    lines().map(one => one.event),
    ['one', line.uri, 'two'],
  )
})

test('when the log is not read, lines beyond a bound are dropped and their number is logged', async t => {
  const { fd, lines } = logFile(t)
  const log = createAccessLog({ fd })
  const long = { ...line, uri: `/${'x'.repeat(100_000)}` }
  for (let at = 0; at < 120; at++) log.write(long)
  await log.flush()
  log.write(line)
  await log.close()
  const written = lines()
  const dropped = written.find(one => one.level === 'warning')
  assert.ok(dropped.count > 0)
  assert.equal(written.filter(one => one.event.startsWith('/x')).length, 120 - dropped.count)
  assert.equal(written.at(-1).event, line.uri)
})

test('a process that simply ends has written its lines', () => {
  const script = `
    import { createAccessLog, accessFragment } from '${new URL('../../src/http/access-log.ts', import.meta.url).href}'
    const log = createAccessLog({ fd: 1 })
    for (let at = 0; at < 3; at++) log.write({ ...${JSON.stringify(line)}, requestId: String(at) })
    process.exit(0)`
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  })
  assert.equal(status, 0)
  assert.deepEqual(
    stdout
      .trim()
      .split('\n')
      .map(text => JSON.parse(text).request_id),
    ['0', '1', '2'],
  )
})

test('request ids differ, and one request keeps its own', () => {
  const next = createRequestIds()
  assert.equal(new Set(Array.from({ length: 1000 }, next)).size, 1000)
  assert.notEqual(createRequestIds()().split('-0')[0], createRequestIds()().split('-0')[0])
  const one = {}
  assert.equal(requestId(one), requestId(one))
  assert.notEqual(requestId(one), requestId({}))
})
