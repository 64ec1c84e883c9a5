// Every SSLMODE against a real server with a certificate authority of our own.
import assert from 'node:assert/strict'
import net from 'node:net'
import { after, before, test } from 'node:test'
import { createLog, silentLog } from '../../src/log.ts'
import { openConnection } from '../../src/pg/client.ts'
import { PgError } from '../../src/pg/errors.ts'
import { createPool } from '../../src/pg/pool.ts'
import type { PgTarget, SslMode } from '../../src/pg/target.ts'
import { testProgram } from '../postgres.ts'
import { eventually } from './eventually.ts'
import {
  clientCertificate,
  look,
  ours,
  port,
  postgres,
  saslMechanisms,
  startTlsServer,
  stopTlsServer,
  targetOf,
  theirs,
  withAccessRules,
} from './tls-server.ts'

before(startTlsServer)
after(stopTlsServer)

test('each mode encrypts and verifies as libpq does', async () => {
  const cases: [SslMode, string | undefined, 'plain' | 'tls' | 'refused'][] = [
    ['disable', undefined, 'plain'],
    ['allow', undefined, 'plain'],
    ['prefer', undefined, 'tls'],
    ['require', undefined, 'tls'],
    ['require', ours.root, 'tls'],
    ['require', theirs.root, 'refused'],
    ['verify-ca', ours.root, 'tls'],
    ['verify-ca', theirs.root, 'refused'],
    ['verify-ca', undefined, 'refused'],
    ['verify-full', ours.root, 'tls'],
    ['verify-full', theirs.root, 'refused'],
    ['verify-full', 'system', 'refused'],
  ]
  for (const [sslmode, sslrootcert, expected] of cases) {
    const seen = await look(targetOf({ sslmode, sslrootcert }))
    assert.equal(seen, expected, `${sslmode} with root ${sslrootcert}`)
  }
})

test('the host name counts for verify-full only', async () => {
  const hosts = [{ host: '127.0.0.2', port }]
  const relay = net.createServer(socket => {
    const onward = net.connect(port, '127.0.0.1')
    socket.pipe(onward).pipe(socket)
    for (const end of [socket, onward]) end.on('error', () => socket.destroy())
  })
  relay.listen(port, '127.0.0.2')
  await new Promise(resolve => relay.once('listening', resolve))
  try {
    assert.equal(await look(targetOf({ hosts, sslmode: 'verify-ca', sslrootcert: ours.root })), 'tls')
    assert.equal(await look(targetOf({ hosts, sslmode: 'verify-full', sslrootcert: ours.root })), 'refused')
  } finally {
    await new Promise(resolve => relay.close(resolve))
  }
})

test('the connection is TLS 1.3 and its password exchange is bound to the channel', async () => {
  const { client } = await openConnection(targetOf({ sslmode: 'verify-full', sslrootcert: ours.root }), {
    applicationName: 'x',
  })
  const { rows } = await client.query('select version from pg_stat_ssl where pid = pg_backend_pid()')
  const { saslSession } = client as unknown as { saslSession: unknown }
  await client.end()
  assert.deepEqual(rows, [{ version: 'TLSv1.3' }])
  assert.equal(saslSession, null) // the exchange was completed, and verified on our side too
  const messages = await saslMechanisms()
  assert.deepEqual(messages, ['SCRAM-SHA-256-PLUS'])
})

test('direct TLS reaches PostgreSQL 17 and newer', {
  skip: testProgram() !== undefined && 'needs the PostgreSQL from npm',
}, async () => {
  const target = targetOf({ sslmode: 'verify-full', sslrootcert: ours.root, sslnegotiation: 'direct' })
  assert.equal(await look(target), 'tls')
})

test('over a unix socket no TLS is spoken, whatever the mode', async () => {
  assert.equal(await look({ ...postgres.target, sslmode: 'verify-full' }), 'plain')
})

test('a statement is cancelled over a connection that is encrypted as well', async () => {
  const target = targetOf({ sslmode: 'verify-full', sslrootcert: ours.root })
  const connection = await openConnection(target, { applicationName: 'cancelled' })
  const running = connection.client.query('select pg_sleep(30)').then(
    () => 'finished',
    error => error.code,
  )
  // A request that comes before the statement has begun cancels nothing.
  const admin = await openConnection(postgres.adminTarget, { applicationName: 'x' })
  await eventually(async () => {
    const { rows } = await admin.client.query(
      "select 1 from pg_stat_activity where application_name = 'cancelled' and state = 'active'",
    )
    return rows.length === 1
  })
  await admin.client.end()
  await connection.cancel(2000)
  assert.equal(await running, '57014')
  await connection.client.end()
})

test('allow turns to TLS, and prefer to plain text, when pg_hba.conf refuses the first way', async () => {
  await withAccessRules('hostssl all all 127.0.0.1/32 scram-sha-256', async () => {
    assert.equal(await look(targetOf({ sslmode: 'allow' })), 'tls')
    assert.equal(await look(targetOf({ sslmode: 'disable' })), 'refused')
  })
  await withAccessRules('hostnossl all all 127.0.0.1/32 scram-sha-256', async () => {
    assert.equal(await look(targetOf({ sslmode: 'prefer' })), 'plain')
    assert.equal(await look(targetOf({ sslmode: 'require' })), 'refused')
  })
})

test('a client certificate signs in without a password, and its absence is named', async () => {
  await withAccessRules('hostssl all all 127.0.0.1/32 cert', async () => {
    const { cert, key } = clientCertificate
    const verified = { sslmode: 'verify-full', sslrootcert: ours.root, password: '' } as const
    assert.equal(await look(targetOf({ ...verified, sslcert: cert, sslkey: key })), 'tls')
    await assert.rejects(
      openConnection(targetOf(verified), { applicationName: 'x' }),
      (error: unknown) => error instanceof PgError && error.code === 'database_refused',
    )
  })
})

test('wrong password, role and database are each told apart, by the setting to look at', async () => {
  const cases: [Partial<PgTarget>, RegExp][] = [
    [{ password: 'wrong' }, /refused the password of user "authentik".*AUTHENTIK_POSTGRESQL__PASSWORD/],
    [{ password: '' }, /asks for a password .*Set AUTHENTIK_POSTGRESQL__PASSWORD/],
    [{ database: 'nowhere' }, /database "nowhere" does not exist.*AUTHENTIK_POSTGRESQL__NAME/],
    [{ parameters: { no_such_thing: '1' } }, /no_such_thing.*AUTHENTIK_POSTGRESQL__CONN_OPTIONS/],
  ]
  for (const [more, text] of cases) {
    await assert.rejects(openConnection(targetOf(more), { applicationName: 'x' }), (error: unknown) => {
      assert.ok(error instanceof PgError)
      assert.equal(error.code, 'database_refused')
      assert.match(error.message, text)
      return true
    })
  }
})

test('passwords with quotes, blanks and backslashes work', async () => {
  const odd = String.raw`it's a "p\\ass wörd" $1`
  const admin = await openConnection(postgres.adminTarget, { applicationName: 'x' })
  try {
    await admin.client.query(`create role odd login password ${admin.client.escapeLiteral(odd)}`)
  } finally {
    await admin.client.end()
  }
  assert.equal(await look(targetOf({ user: 'odd', password: odd, sslmode: 'require' })), 'tls')
})

test('the environment of the driver is not listened to', async () => {
  process.env.PGOPTIONS = '-c statement_timeout=7'
  process.env.PGPASSWORD = postgres.target.password
  process.env.PGAPPNAME = 'from the environment'
  try {
    const { client } = await openConnection(targetOf({}), { applicationName: 'ours' })
    const { rows } = await client.query(
      "select current_setting('statement_timeout') as timeout, current_setting('application_name') as name",
    )
    await client.end()
    assert.deepEqual(rows, [{ timeout: '0', name: 'ours' }])
    await assert.rejects(
      openConnection(targetOf({ password: '' }), { applicationName: 'x' }),
      /asks for a password/,
    )
  } finally {
    for (const name of ['PGOPTIONS', 'PGPASSWORD', 'PGAPPNAME']) delete process.env[name]
  }
})

test('plain text over a network is warned of once, when TLS was only preferred', async () => {
  const lines: string[] = []
  const log = createLog({ level: 'warning', logger: 'test', write: line => lines.push(line) })
  const hosts = [{ host: '0.0.0.0', port }] // not a loopback address, yet ends here
  for (const sslmode of ['allow', 'disable', 'prefer'] as const) {
    const pool = createPool({ target: () => targetOf({ hosts, sslmode }), max: 2, applicationName: 'x', log })
    await Promise.all([pool.query('select pg_sleep(0.02)'), pool.query('select pg_sleep(0.02)')])
    await pool.close()
  }
  assert.equal(lines.length, 1)
  assert.match(lines[0] ?? '', /sslmode=allow.*plain text over a network; set AUTHENTIK_POSTGRESQL__SSLMODE/)
})

test('a host in the wrong role is passed over', async () => {
  const both = [
    { host: '127.0.0.1', port },
    { host: 'localhost', port },
  ]
  const standby = openConnection(targetOf({ hosts: both, targetSessionAttrs: 'standby' }), {
    applicationName: 'x',
  })
  await assert.rejects(standby, /is not "standby" \(target_session_attrs\)/)
  for (const targetSessionAttrs of ['primary', 'read-write', 'prefer-standby', 'any'] as const) {
    assert.equal(await look(targetOf({ hosts: both, targetSessionAttrs })), 'tls')
  }
})

test('a password that changes under a running pool is taken up by its next connection', async () => {
  let password = postgres.target.password
  const readings: string[] = []
  const pool = createPool({
    target: () => {
      readings.push(password)
      const reading = targetOf({ password })
      password = 'rotated' // the file is replaced just after it was read
      return reading
    },
    max: 2,
    applicationName: 'rotation',
    log: silentLog,
  })
  try {
    const admin = await openConnection(postgres.adminTarget, { applicationName: 'x' })
    await admin.client.query("alter role authentik password 'rotated'")
    await admin.client.end()
    assert.deepEqual((await pool.query('select 1 as one')).rows, [{ one: 1 }])
    assert.deepEqual(readings, [postgres.target.password, 'rotated'])
  } finally {
    await pool.close()
    const admin = await openConnection(postgres.adminTarget, { applicationName: 'x' })
    await admin.client.query(
      `alter role authentik password ${admin.client.escapeLiteral(postgres.target.password)}`,
    )
    await admin.client.end()
  }
})
