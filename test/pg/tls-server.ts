// A real server with TLS and certificates of our own, for the tests of SSLMODE. One per process.
import assert from 'node:assert/strict'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLog } from '../../src/log.ts'
import { openConnection } from '../../src/pg/client.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/pg/embedded.ts'
import { PgError } from '../../src/pg/errors.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { testProgram } from '../postgres.ts'
import { createAuthority } from './certificates.ts'

export const folder = mkdtempSync(join(tmpdir(), 'postern-ssl-'))
chmodSync(folder, 0o755)
const dataDir = join(folder, 'server')
const cluster = join(dataDir, 'postgres', 'data')
export const ours = createAuthority(folder, 'ours')
export const theirs = createAuthority(folder, 'theirs')
const server = ours.issue('localhost', 'DNS:localhost,IP:127.0.0.1')
export const clientCertificate = ours.issue('authentik', 'DNS:authentik')
/** Set once the server is up. */
export let postgres: EmbeddedPostgres
export let port: number

/** Starts the server; call it once, before the tests. */
export async function startTlsServer(): Promise<void> {
  port = await freePort()
  const made = await startEmbeddedPostgres({
    dataDir: openFolder(),
    log: silentLog,
    endWithUs: true,
    ...testProgram(),
  })
  await made.stop()
  const owner = statSync(cluster)
  for (const file of [server.cert, server.key]) {
    chmodSync(file, 0o600)
    if (process.getuid?.() === 0) chownSync(file, owner.uid, owner.gid)
  }
  postgres = await startEmbeddedPostgres({
    dataDir,
    log: silentLog,
    endWithUs: true,
    ...testProgram(),
    settings: {
      fsync: 'off',
      listen_addresses: '127.0.0.1',
      port: String(port),
      ssl: 'on',
      ssl_cert_file: server.cert,
      ssl_key_file: server.key,
      ssl_ca_file: ours.root,
    },
  })
}

export async function stopTlsServer(): Promise<void> {
  await postgres.destroy()
  rmSync(folder, { recursive: true, force: true })
}

function openFolder(): string {
  mkdirSync(dataDir, { recursive: true, mode: 0o755 })
  return dataDir
}

export function targetOf(more: Partial<PgTarget>): PgTarget {
  return {
    ...postgres.target,
    hosts: [{ host: '127.0.0.1', port }],
    sslmode: 'prefer',
    connectTimeoutMs: 3000,
    ...more,
  }
}

/** What came of it, by the server's own word. */
export async function look(target: PgTarget): Promise<'plain' | 'tls' | 'refused'> {
  try {
    const connection = await openConnection(target, { applicationName: 'look' })
    const { rows } = await connection.client.query<{ ssl: boolean }>(
      'select ssl from pg_stat_ssl where pid = pg_backend_pid()',
    )
    await connection.client.end()
    assert.equal(connection.encrypted, rows[0]?.ssl)
    return rows[0]?.ssl === true ? 'tls' : 'plain'
  } catch (error) {
    assert.ok(error instanceof PgError, `${error}`)
    assert.equal(error.code, 'database_refused', error.message)
    return 'refused'
  }
}

/** Mechanisms the client chose while `look` signed in, as the server saw them. */
export async function saslMechanisms(): Promise<string[]> {
  const chosen: string[] = []
  const { Connection } = (await import('pg')) as unknown as {
    Connection: { prototype: { sendSASLInitialResponseMessage(mechanism: string, response: string): void } }
  }
  const send = Connection.prototype.sendSASLInitialResponseMessage
  Connection.prototype.sendSASLInitialResponseMessage = function (mechanism, response) {
    chosen.push(mechanism)
    send.call(this, mechanism, response)
  }
  try {
    await look(targetOf({ sslmode: 'require' }))
  } finally {
    Connection.prototype.sendSASLInitialResponseMessage = send
  }
  return chosen
}

export async function withAccessRules(rule: string, work: () => Promise<void>): Promise<void> {
  const file = join(cluster, 'pg_hba.conf')
  const original = readFileSync(file, 'utf8')
  const reload = async () => {
    const { client } = await openConnection(postgres.adminTarget, { applicationName: 'reload' })
    await client.query('select pg_reload_conf()')
    await client.end()
  }
  const rules = original.split('\n').filter(line => line.startsWith('local'))
  writeFileSync(file, `${rules.join('\n')}\n`)
  appendFileSync(file, `${rule}\n`)
  await reload()
  await loaded(rule)
  try {
    await work()
  } finally {
    writeFileSync(file, original)
    await reload()
  }
}

/** The postmaster reads its rules a moment after it was asked to: wait until it goes by them. */
async function loaded(rule: string): Promise<void> {
  const { client } = await openConnection(postgres.adminTarget, { applicationName: 'loaded' })
  await client.end()
  const plainAllowed = rule.startsWith('hostnossl')
  for (let attempt = 0; attempt < 200; attempt++) {
    const way = await look(targetOf({ sslmode: plainAllowed ? 'require' : 'disable' }))
    if (way === 'refused') return
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  assert.fail('the rules were not taken up')
}

async function freePort(): Promise<number> {
  const probe = net.createServer()
  probe.listen(0, '127.0.0.1')
  await new Promise(resolve => probe.once('listening', resolve))
  const { port: found } = probe.address() as net.AddressInfo
  await new Promise(resolve => probe.close(resolve))
  return found
}
