// Is a Docker engine or a Kubernetes API there, and which version? Asked for by a person who waits, so it takes two seconds at most.
import { readFile } from 'node:fs/promises'
import { Agent, request } from 'undici'
import { errorText } from '../../log.ts'
import type { Core } from '../core.ts'
import type { ConnectionRow, ConnectionState } from './connections.sql.ts'
import { allConnections, saveState, tlsPairs } from './connections.sql.ts'
import { parseKubeconfig, resolveKubeconfig } from './kubeconfig.ts'

type Parts = Pick<Core, 'db' | 'secrets' | 'log'>

const deadlineMs = 2000
const answerMax = 64 * 1024
/** Where Kubernetes puts the account of a pod. */
const podAccount = '/var/run/secrets/kubernetes.io/serviceaccount'

/** Asks the other side and stores what it found; never throws for a reason of the other side. */
export async function checkConnection(core: Parts, row: ConnectionRow): Promise<ConnectionState> {
  const state = await ask(core, row).catch(error => {
    core.log.info('service connection is not usable', { connection: row.name, error: errorText(error) })
    return { healthy: false, version: '' }
  })
  await saveState(core.db, row.id, state)
  return state
}

/** Checks every connection; for the worker, four times an hour. @returns number of healthy ones */
export async function checkConnections(core: Parts): Promise<number> {
  const states = await Promise.all((await allConnections(core.db)).map(row => checkConnection(core, row)))
  return states.filter(state => state.healthy).length
}

interface Question {
  url: URL
  agent: Agent
  headers: Record<string, string>
  /** key of the version in the answer */
  key: string
}

async function ask(core: Parts, row: ConnectionRow): Promise<ConnectionState> {
  const { url, agent, headers, key } =
    row.type === 'docker' ? await docker(core, row) : await kubernetes(core, row)
  const signal = AbortSignal.timeout(deadlineMs)
  try {
    const { statusCode, body } = await request(url, { dispatcher: agent, headers, signal })
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > answerMax) throw new Error('the answer is too long to be one')
      chunks.push(chunk)
    }
    if (statusCode !== 200) throw new Error(`answered ${statusCode}`)
    const answer = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown> | null
    const version = answer?.[key]
    if (typeof version !== 'string') throw new Error('the answer names no version')
    return { healthy: true, version }
  } finally {
    await agent.destroy()
  }
}

async function docker(core: Parts, { config, local }: ConnectionRow): Promise<Question> {
  const given = config.url || (local ? 'unix:///var/run/docker.sock' : '')
  const url = new URL(given)
  if (url.protocol === 'unix:')
    return {
      url: new URL('http://docker/version'),
      agent: new Agent({ connect: { socketPath: decodeURIComponent(url.pathname), timeout: deadlineMs } }),
      headers: {},
      key: 'Version',
    }
  if (url.protocol === 'ssh:') throw new Error('ssh connections are not checked from Core')
  const ids = [config.tls_verification, config.tls_authentication].filter(id => typeof id === 'string')
  const pairs = ids.length === 0 ? [] : await tlsPairs(core.db, ids)
  const trusted = pairs.find(pair => pair.id === config.tls_verification)
  const own = pairs.find(pair => pair.id === config.tls_authentication)
  const key = own?.private_key_sealed
  const tls = {
    ca: trusted?.certificate_pem,
    cert: own?.certificate_pem,
    key: key ? core.secrets.open('private_key', key) : undefined,
  }
  return {
    url: new URL('/version', `${url.protocol === 'https:' ? 'https' : 'http'}://${url.host}`),
    agent: new Agent({ connect: { ...tls, timeout: deadlineMs } }),
    headers: {},
    key: 'Version',
  }
}

async function kubernetes(core: Parts, row: ConnectionRow): Promise<Question> {
  if (row.kubeconfig_sealed === null) return ownCluster()
  const access = resolveKubeconfig(parseKubeconfig(core.secrets.open('kubeconfig', row.kubeconfig_sealed)))
  const { ca, certificate: cert, key, token, basic } = access
  const headers: Record<string, string> = {}
  if (token !== undefined) headers.authorization = `Bearer ${token}`
  else if (basic !== undefined)
    headers.authorization = `Basic ${Buffer.from(`${basic.username}:${basic.password}`).toString('base64')}`
  const rejectUnauthorized = row.config.verify_ssl !== false && !access.insecure
  return {
    url: new URL(`${access.server.replace(/\/+$/, '')}/version`),
    agent: new Agent({ connect: { ca, cert, key, rejectUnauthorized, timeout: deadlineMs } }),
    headers,
    key: 'gitVersion',
  }
}

/** The cluster this very process runs in. */
async function ownCluster(): Promise<Question> {
  const [ca, token] = await Promise.all([
    readFile(`${podAccount}/ca.crt`, 'utf8'),
    readFile(`${podAccount}/token`, 'utf8'),
  ])
  return {
    url: new URL('https://kubernetes.default.svc/version'),
    agent: new Agent({ connect: { ca, timeout: deadlineMs } }),
    headers: { authorization: `Bearer ${token.trim()}` },
    key: 'gitVersion',
  }
}
