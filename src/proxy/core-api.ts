// The calls an outpost makes to Core's REST API with its token.
import { X509Certificate } from 'node:crypto'
import { type BrokenProvider, LinkError, type OutpostLink } from '../wire/link.ts'
import type { OutpostInstance } from '../wire/outpost.ts'
import * as answers from './core-answers.ts'
import type { RestClient } from './rest-client.ts'

export type CoreApi = Pick<
  OutpostLink,
  'instance' | 'rootConfig' | 'providers' | 'certificate' | 'reportEvent'
>

const pageSize = 100
/** 100,000 providers: beyond it the answer is a loop, not a list. */
const pagesMax = 1_000

/**
 * @param options.coreUrl base URL of Core, with or without trailing slash or sub-path
 * @param options.onInstance told each instance that was read
 */
export function createCoreApi(options: {
  rest: RestClient
  coreUrl: URL
  token: string
  userAgent: string
  onInstance: (instance: OutpostInstance) => void
}): CoreApi {
  const { rest, coreUrl, token, userAgent, onInstance } = options
  const headers = { authorization: `Bearer ${token}`, accept: 'application/json', 'user-agent': userAgent }

  async function get(path: string, query: Record<string, string> = {}): Promise<unknown> {
    const url = underBase(coreUrl, `api/v3/${path}`)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    const answer = await rest.call({ method: 'GET', url, headers })
    judge(answer.status, answer.body, `GET ${path}`)
    return answer.body
  }

  /** All rows, or null when the list changed between two pages. */
  async function rows(path: string): Promise<unknown[] | null> {
    const gathered: unknown[] = []
    const counts = new Set<number>()
    for (let page = 1, read = 0; page > 0; read++) {
      if (read >= pagesMax) throw new LinkError('invalid', `Core's answer: ${path} has no last page`)
      const found = answers.toPage(await get(path, { page: `${page}`, page_size: `${pageSize}` }), path)
      if (found.next !== 0 && found.next <= page)
        throw new LinkError('invalid', `Core's answer: ${path} pagination.next goes back to ${found.next}`)
      gathered.push(...found.results)
      if (found.count !== null) counts.add(found.count)
      page = found.next
    }
    // A row removed from a page already read moves the next one out of sight: the counts of the pages tell.
    return counts.size === 0 || (counts.size === 1 && counts.has(gathered.length)) ? gathered : null
  }

  return {
    instance: async () => {
      const path = 'outposts/instances/'
      const { results } = answers.toPage(await get(path), path)
      if (results.length === 0)
        throw new LinkError(
          'no-outpost',
          'No outposts found with given token, ensure the given token corresponds to an authentik Outpost',
        )
      const instance = answers.toInstance(results[0], `${path} results[0]`)
      onInstance(instance)
      return instance
    },
    rootConfig: async () => answers.toRootConfig(await get('root/config/'), 'root/config/'),
    providers: async (broken = () => {}) => {
      const path = 'outposts/proxy/'
      for (let attempt = 0; attempt < 3; attempt++) {
        const found = await rows(path)
        if (found === null) continue
        const left: BrokenProvider[] = []
        const providers = answers.toProviders(found, path, row => left.push(row))
        const keys = [...providers, ...left].map(({ pk }) => pk).filter(pk => pk !== null)
        if (new Set(keys).size < keys.length) continue
        for (const row of left) broken(row)
        return providers
      }
      throw new LinkError('invalid', `Core's answer: ${path} did not hold still while its pages were read`)
    },
    certificate: async (uuid, knownFingerprint) => {
      const path = `crypto/certificatekeypairs/${encodeURIComponent(uuid)}/`
      const fingerprint = answers.toFingerprint(await get(path), path)
      if (knownFingerprint !== undefined && normal(fingerprint) === normal(knownFingerprint)) return null
      const certificate_pem = answers.toPem(await get(`${path}view_certificate/`), `${path}view_certificate/`)
      const private_key_pem = answers.toPem(await get(`${path}view_private_key/`), `${path}view_private_key/`)
      if (normal(fingerprintOf(certificate_pem, path)) !== normal(fingerprint))
        throw new LinkError('invalid', `Core's answer: ${path} changed while it was read`)
      return { fingerprint_sha256: fingerprint, certificate_pem, private_key_pem }
    },
    reportEvent: async event => {
      const answer = await rest.call({
        method: 'POST',
        url: underBase(coreUrl, 'api/v3/events/events/'),
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(event),
      })
      judge(answer.status, answer.body, 'POST events/events/')
    },
  }
}

/** @returns the URL of `path` under the base, which counts as a folder, its query kept out */
export function underBase(base: URL, path: string): URL {
  const url = new URL(base)
  url.pathname = `${base.pathname.replace(/\/+$/, '')}/${path}`
  url.search = ''
  url.hash = ''
  return url
}

function judge(status: number, body: unknown, what: string): void {
  if (status >= 200 && status < 300) return
  const detail = detailOf(body)
  const answered = `Core answered ${status}${detail === '' ? '' : ` (${detail})`} to ${what}`
  if (status === 401 || status === 403)
    throw new LinkError(
      'unauthorized',
      `${answered}: check AUTHENTIK_TOKEN, the key of the token "ak-outpost-<uuid>-api" of this outpost`,
    )
  if (status >= 500 || status === 429 || status === 421) throw new LinkError('unreachable', answered)
  if (status >= 300 && status < 400)
    throw new LinkError(
      'invalid',
      `${answered}, a redirect: set AUTHENTIK_HOST to the address Core really has`,
    )
  throw new LinkError('invalid', `${answered}: check that AUTHENTIK_HOST is the address of Core`)
}

function detailOf(body: unknown): string {
  const detail = body !== null && typeof body === 'object' && 'detail' in body ? body.detail : ''
  return typeof detail === 'string' ? detail.replaceAll(/[^\x20-\x7e]/g, ' ').slice(0, 200) : ''
}

function normal(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase()
}

function fingerprintOf(pem: string, path: string): string {
  try {
    return new X509Certificate(pem).fingerprint256
  } catch (error) {
    throw new LinkError('invalid', `Core's answer: ${path}view_certificate/ is no certificate`, {
      cause: error,
    })
  }
}
