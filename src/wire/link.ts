// The one interface between an outpost and Core. Two forms, one conformance suite: in-process (core/outposts) for the embedded
// outpost, REST + WebSocket (proxy/ws-link) for a standalone one.
import type { Frame, HelloArgs } from './frames.ts'
import type {
  CertificateBundle,
  OutpostEvent,
  OutpostInstance,
  ProxyProviderConfig,
  RootConfig,
} from './outpost.ts'

export type LinkErrorKind =
  | 'unauthorized' // the token is refused
  | 'no-outpost' // the token is good but sees no outpost
  | 'unreachable' // no answer, time-out, 5xx
  | 'invalid' // an answer that does not have the agreed shape

/** Why a call to Core failed. `message` is one line for the log and names what to check. */
export class LinkError extends Error {
  readonly kind: LinkErrorKind
  constructor(kind: LinkErrorKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'LinkError'
    this.kind = kind
  }
}

/** The three calls of the OAuth back channel. */
export type BackChannelCall =
  | { endpoint: 'token' | 'introspection'; form: Record<string, string> }
  | { endpoint: 'jwks' }

export interface BackChannelAnswer {
  status: number
  /** parsed JSON, or null when the body was none */
  body: unknown
}

export interface LinkHandlers {
  /** Arguments of the next HELLO. */
  hello(): HelloArgs
  /** TRIGGER_UPDATE, SESSION_END, PROVIDER_SPECIFIC and unknown instructions; ACK is swallowed by the link. */
  onFrame(frame: Frame): void
  /** After every successful (re)connect: refresh at once. */
  onConnect(): void
  onDisconnect(): void
}

/** A row of the list of providers that lacks what an outpost must have. */
export interface BrokenProvider {
  /** null when not even that can be read */
  pk: number | null
  name: string
  /** one line for the log */
  problem: string
}

export interface OutpostLink {
  /** @throws LinkError */
  instance(): Promise<OutpostInstance>
  /** @throws LinkError */
  rootConfig(): Promise<RootConfig>
  /**
   * All pages or an error, never a part; but a row nobody can work with takes no other one down.
   * @param broken told each such row, which is left out
   * @throws LinkError
   */
  providers(broken?: (row: BrokenProvider) => void): Promise<ProxyProviderConfig[]>
  /** @param knownFingerprint when it still is the current one, null is returned and no key travels. @throws LinkError */
  certificate(uuid: string, knownFingerprint?: string): Promise<CertificateBundle | null>
  /** @throws LinkError */
  reportEvent(event: OutpostEvent): Promise<void>
  /** Calls an endpoint of `provider.oidc_configuration`, with the public host as Host header. @throws LinkError (kind `unreachable`) */
  backChannel(provider: ProxyProviderConfig, call: BackChannelCall): Promise<BackChannelAnswer>
  /** Opens the push connection and keeps it open until `close`; HELLO at once and every 10 s. */
  open(outpost: OutpostInstance, handlers: LinkHandlers): void
  /** @returns false when the connection is down and the frame was dropped */
  send(frame: Frame): boolean
  close(): Promise<void>
}
