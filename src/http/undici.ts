// The parts of undici an outpost uses, by their files: its index loads fetch, caches, WebSockets and mocks as well, which costs every
// outpost ten megabytes. The test beside this file fails when a new version has them elsewhere.
import { createRequire } from 'node:module'
import type * as Undici from 'undici'

const load = createRequire(import.meta.url)

export const Agent: typeof Undici.Agent = load('undici/lib/dispatcher/agent.js')
export const buildConnector: typeof Undici.buildConnector = load('undici/lib/core/connect.js')
export const errors: typeof Undici.errors = load('undici/lib/core/errors.js')
/** `dispatcher.request(options)`, called with the dispatcher as `this`. */
export const request: (
  this: Undici.Dispatcher,
  options: Undici.Dispatcher.RequestOptions,
) => Promise<Undici.Dispatcher.ResponseData> = load('undici/lib/api/api-request.js')
