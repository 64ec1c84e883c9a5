// What every room of Core is given: one object of named fields, made as a literal in the composition (main.ts).
import type { TrustedPeers } from '../http/trusted-peers.ts'
import type { Log } from '../log.ts'
import type { Bus } from '../pg/bus.ts'
import type { Db } from '../pg/db.ts'
import type { Memory } from './remembered.ts'
import type { Secrets } from './secrets.ts'
import type { Passwords } from './users/passwords.ts'

export interface Core {
  db: Db
  bus: Bus
  memory: Memory
  log: Log
  secrets: Secrets
  passwords: Passwords
  /** The one public name: issuer, cookies' `Secure`, every absolute URL. No path, no trailing slash. */
  baseUrl: URL
  /** Peers that may speak for their client (X-Forwarded-*). */
  trusted: TrustedPeers
  /** Random, made at the first start; keys the users' `uid`. */
  installationId: string
  version: string
  buildHash: string
  /** `Domain` of Core's own cookies; empty = host-only. */
  cookieDomain: string
  /** Folder of `vite build`, with `.vite/manifest.json`. */
  webDirectory: string
  /** Folder of uploaded files, absolute; empty = files cannot be saved. Replicas share it, or show fewer images. */
  mediaDirectory: string
  /** Typed at the initial set-up when not empty. */
  setupToken: string
  now(): Date
}
