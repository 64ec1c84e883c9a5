// The URL a front proxy asks about, put together from what it says, without normalising: what is judged must be what was asked for.
import { hostOf } from '../http/trusted-peers.ts'
import type { RequestHead } from './request-head.ts'

export interface ForwardUrl {
  scheme: 'http' | 'https'
  /** lower case, with the port if one was given */
  host: string
  /** raw, begins with `/` */
  path: string
  /** raw, with its `?`; empty when there is none */
  query: string
}

/** Why a forward URL cannot be built, as one sentence for the operator. */
export interface Unbuildable {
  problem: string
}

/** Traefik and Caddy: `X-Forwarded-Proto`, `-Host` and `-Uri`. */
export function forwardedUrl(head: RequestHead): ForwardUrl | Unbuildable {
  if (head.ambiguous) return { problem: 'a forwarding header came more than once' }
  if (!head.forwardedProto) return { problem: 'X-Forwarded-Proto is missing' }
  if (!head.forwardedHost) return { problem: 'X-Forwarded-Host is missing' }
  return compose(head.forwardedProto, head.forwardedHost, head.forwardedUri || '/')
}

/**
 * nginx: `X-Original-URL`, or `Host` with `X-Original-URI`. nginx passes on what it does not set itself, so a client can add the
 * header its operator does not use: when both are there they must agree.
 * @param fallbackScheme for the second form, which does not name one
 */
export function originalUrl(
  head: RequestHead,
  fallbackScheme: () => 'http' | 'https',
): ForwardUrl | Unbuildable {
  if (head.ambiguous) return { problem: 'a forwarding header came more than once' }
  const { originalUrl: url, originalUri: uri } = head
  if (url) {
    const parts = /^([a-z]+):\/\/([^/?#]*)(.*)$/i.exec(url)
    if (parts === null) return { problem: 'X-Original-URL is not an absolute URL' }
    const [, scheme = '', host = '', rest = ''] = parts
    const target = compose(scheme, host, rest.startsWith('/') ? rest : `/${rest}`)
    if (!uri || 'problem' in target) return target
    const agrees = target.path + target.query === uri && nameOf(target.host) === nameOf(head.host ?? '')
    return agrees ? target : { problem: 'X-Original-URL and X-Original-URI with Host do not agree' }
  }
  if (!uri) return { problem: 'neither X-Original-URL nor X-Original-URI is set' }
  return compose(fallbackScheme(), head.host ?? '', uri)
}

/** Envoy: its `Host`, and the path behind the prefix of the check. */
export function envoyUrl(head: RequestHead, scheme: 'http' | 'https', uri: string): ForwardUrl | Unbuildable {
  if (head.ambiguous) return { problem: 'the Host header came more than once' }
  return compose(scheme, head.host ?? '', uri.startsWith('/') ? uri : `/${uri}`)
}

/** As text, to be given to a URL parser. */
export function textOf(url: ForwardUrl): string {
  return `${url.scheme}://${url.host}${url.path}${url.query}`
}

function compose(proto: string, hostText: string, uri: string): ForwardUrl | Unbuildable {
  const scheme = schemeOf(proto)
  if (scheme === null) return { problem: `"${proto.slice(0, 40)}" is not a scheme this outpost serves` }
  const host = hostOf(hostText)
  if (host === undefined) return { problem: 'the host is not a host name with an optional port' }
  if (!uri.startsWith('/') || uri.includes('#') || /[\x00-\x20\x7f]/.test(uri))
    return {
      problem: 'the path does not begin with a slash, or holds a space, a control character or a fragment',
    }
  const mark = uri.indexOf('?')
  return mark === -1
    ? { scheme, host, path: uri, query: '' }
    : { scheme, host, path: uri.slice(0, mark), query: uri.slice(mark) }
}

/** WebSockets are asked about under their own schemes by some front proxies. */
function schemeOf(text: string): 'http' | 'https' | null {
  const scheme = text.toLowerCase()
  if (scheme === 'https' || scheme === 'wss') return 'https'
  if (scheme === 'http' || scheme === 'ws') return 'http'
  return null
}

function nameOf(host: string): string {
  return host.toLowerCase().replace(/:\d+$/, '')
}
