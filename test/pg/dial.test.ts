// What leaves the machine before TLS has been judged: counted on servers that only pretend to be PostgreSQL.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import tls from 'node:tls'
import { openConnection } from '../../src/pg/client.ts'
import { PgError, type PgErrorCode } from '../../src/pg/errors.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { createAuthority } from './certificates.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-dial-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const authority = createAuthority(folder, 'ours')
const certificate = authority.issue('localhost', 'DNS:localhost,IP:127.0.0.1')
const pem = { cert: readFileSync(certificate.cert), key: readFileSync(certificate.key) }

interface Fake {
  port: number
  /** Bytes received in plain text after SSLRequest, and inside TLS. */
  seen: { plain: number; inside: Buffer }
}

/** Answers SSLRequest with `answer`, then speaks TLS as told, and ends the connection when it gets a startup message. */
async function fakeServer(t: TestContext, answer: string, options: tls.TLSSocketOptions = {}): Promise<Fake> {
  const seen = { plain: 0, inside: Buffer.alloc(0) }
  const sockets = new Set<net.Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', request => {
      assert.equal(request.toString('hex'), '0000000804d2162f')
      socket.write(answer)
      if (answer !== 'S') {
        socket.on('data', chunk => {
          seen.plain += chunk.length
        })
        return
      }
      const secured = new tls.TLSSocket(socket, { isServer: true, ...pem, ...options })
      secured.on('error', () => {})
      secured.on('data', chunk => {
        seen.inside = Buffer.concat([seen.inside, chunk])
        secured.end()
      })
    })
  })
  server.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise(resolve => server.close(resolve))
  })
  return { port: (server.address() as net.AddressInfo).port, seen }
}

function targetOf(fake: { port: number }, more: Partial<PgTarget> = {}): PgTarget {
  return {
    hosts: [{ host: '127.0.0.1', port: fake.port }],
    user: 'somebody',
    password: 'secret',
    database: 'db',
    sslmode: 'require',
    connectTimeoutMs: 3000,
    ...more,
  }
}

async function refusal(target: PgTarget): Promise<PgError> {
  try {
    await openConnection(target, { applicationName: 'test' })
  } catch (error) {
    assert.ok(error instanceof PgError, `not a PgError: ${error}`)
    assert.doesNotMatch(error.message, /secret/)
    return error
  }
  return assert.fail('must be refused')
}

async function refused(target: PgTarget, code: PgErrorCode, text: RegExp): Promise<void> {
  const error = await refusal(target)
  assert.equal(error.code, code)
  assert.match(error.message, text)
}

const noExtendedMasterSecret = 1 // SSL_OP_NO_EXTENDED_MASTER_SECRET of OpenSSL 3

test('TLS 1.2 without Extended Master Secret is refused before one byte is sent through it', async t => {
  const fake = await fakeServer(t, 'S', {
    maxVersion: 'TLSv1.2',
    secureOptions: noExtendedMasterSecret,
  } as tls.TLSSocketOptions)
  for (const sslmode of ['prefer', 'require', 'verify-ca', 'verify-full'] as const) {
    const target = targetOf(fake, {
      sslmode,
      ...(sslmode.startsWith('v') ? { sslrootcert: authority.root } : {}),
    })
    const text = /negotiated TLS 1\.2 without Extended Master Secret \(RFC 7627\)\. .*Nothing was sent\.$/
    await refused(target, 'database_refused', text)
  }
  assert.equal(fake.seen.inside.length, 0)
})

test('TLS 1.2 with Extended Master Secret and TLS 1.3 are accepted: the startup message arrives', async t => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const fake = await fakeServer(t, 'S', { maxVersion })
    await refused(targetOf(fake), 'database_unavailable', /127\.0\.0\.1/)
    assert.match(fake.seen.inside.toString('latin1'), /user\0somebody\0database\0db\0/)
  }
})

test('TLS 1.1 is refused in every mode, and never answered by plain text', async t => {
  const fake = await fakeServer(t, 'S', {
    minVersion: 'TLSv1.1',
    maxVersion: 'TLSv1.1',
    ciphers: 'ALL:@SECLEVEL=0',
  })
  for (const sslmode of ['prefer', 'require'] as const) {
    await refused(targetOf(fake, { sslmode }), 'database_refused', /no TLS version newer than 1\.1/)
  }
  assert.equal(fake.seen.inside.length + fake.seen.plain, 0)
})

test('a server without TLS is refused from require on, and the line names the setting', async t => {
  const fake = await fakeServer(t, 'N')
  for (const sslmode of ['require', 'verify-ca', 'verify-full'] as const) {
    const text = new RegExp(`AUTHENTIK_POSTGRESQL__SSLMODE is ${sslmode}`)
    await refused(targetOf(fake, { sslmode }), 'database_refused', text)
  }
  assert.equal(fake.seen.plain, 0)
})

test('plain text smuggled in behind the answer to SSLRequest ends the connection', async t => {
  for (const answer of ['SR\0\0\0\x08\0\0\0\0', 'NR\0\0\0\x08\0\0\0\0']) {
    const fake = await fakeServer(t, answer)
    await refused(targetOf(fake, { sslmode: 'prefer' }), 'database_refused', /more than the one-byte answer/)
    assert.equal(fake.seen.plain, 0)
  }
})

test('something that is not PostgreSQL is named as such', async t => {
  const fake = await fakeServer(t, 'H')
  await refused(targetOf(fake), 'database_refused', /is not PostgreSQL/)
})

test('a certificate of another authority, or for another name, is refused with the reason', async t => {
  const fake = await fakeServer(t, 'S')
  const other = createAuthority(folder, 'theirs')
  const wrongRoot = { sslmode: 'verify-full', sslrootcert: other.root } as const
  await refused(
    targetOf(fake, wrongRoot),
    'database_refused',
    /AUTHENTIK_POSTGRESQL__SSLROOTCERT .*Nothing was sent/,
  )
  await refused(targetOf(fake, { ...wrongRoot, sslmode: 'require' }), 'database_refused', /SSLROOTCERT/)
  const byName = authority.issue('elsewhere', 'DNS:elsewhere.example')
  const misnamed = await fakeServer(t, 'S', {
    cert: readFileSync(byName.cert),
    key: readFileSync(byName.key),
  })
  const full = { sslmode: 'verify-full', sslrootcert: authority.root } as const
  await refused(targetOf(misnamed, full), 'database_refused', /is for another name/)
  assert.equal(fake.seen.inside.length + misnamed.seen.inside.length, 0)
  await refused(targetOf(misnamed, { ...full, sslmode: 'verify-ca' }), 'database_unavailable', /./)
  assert.notEqual(misnamed.seen.inside.length, 0)
})

test('files that cannot be used are named with their setting', async t => {
  const fake = await fakeServer(t, 'S')
  const empty = join(folder, 'empty.pem')
  writeFileSync(empty, 'nothing')
  const missing = join(folder, 'missing.pem')
  const cases: [Partial<PgTarget>, RegExp][] = [
    [{ sslrootcert: missing }, /failed to read SSL root certificate .*missing\.pem: ENOENT.*SSLROOTCERT/],
    [{ sslrootcert: empty }, /failed to parse SSL root certificate .*SSLROOTCERT/],
    [{ sslcert: missing, sslkey: missing }, /failed to load SSL client certificate .*SSLCERT/],
    [{ sslcert: certificate.cert, sslkey: empty }, /failed to load SSL client certificate .*SSLCERT/],
    [{ sslrootcert: 'system' }, /SSLROOTCERT=system needs .*SSLMODE=verify-full/],
  ]
  for (const [more, text] of cases) await refused(targetOf(fake, more), 'database_refused', text)
  assert.equal(fake.seen.inside.length, 0)
})

test('nobody there, and nobody answering, are told apart, each within its time', async t => {
  const closed = net.createServer()
  closed.listen(0, '127.0.0.1')
  await new Promise(resolve => closed.once('listening', resolve))
  const { port } = closed.address() as net.AddressInfo
  await new Promise(resolve => closed.close(resolve))
  await refused(
    targetOf({ port }),
    'database_unavailable',
    /nothing listens there.*AUTHENTIK_POSTGRESQL__HOST/,
  )
  const silent = await fakeServer(t, '')
  const started = performance.now()
  const target = targetOf(silent, { connectTimeoutMs: 300 })
  await refused(target, 'database_unavailable', /did not answer within 300 ms/)
  assert.ok(performance.now() - started < 15_000)
})

test('hosts are tried in order until one answers, and all their reasons are told', async t => {
  const first = await fakeServer(t, 'N')
  const second = await fakeServer(t, 'H')
  const hosts = [first, second].map(({ port }) => ({ host: '127.0.0.1', port }))
  const error = await refusal(targetOf(first, { hosts }))
  assert.match(
    error.message,
    new RegExp(`:${first.port} does not offer TLS.* · .*:${second.port} is not PostgreSQL`),
  )
})

test('direct TLS needs the protocol agreed by ALPN, and a mode that insists on TLS', async t => {
  const server = tls.createServer({ ...pem, ALPNProtocols: ['http/1.1'], ALPNCallback: undefined })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  t.after(() => new Promise(resolve => server.close(resolve)))
  const { port } = server.address() as net.AddressInfo
  await refused(targetOf({ port }, { sslnegotiation: 'direct' }), 'database_refused', /./)
  const weak = { sslnegotiation: 'direct', sslmode: 'prefer' } as const
  await refused(targetOf({ port }, weak), 'database_refused', /sslnegotiation=direct needs/)
})
