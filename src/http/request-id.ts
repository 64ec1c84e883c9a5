// Ids of requests: unique within a deployment, cheap enough for every request. They stand in log lines and error answers.
import { randomBytes } from 'node:crypto'

/**
 * Creates a source of request ids: a random prefix of this process (72 bits) and a counter.
 * @param prefix only for tests; default random
 */
export function createRequestIds(prefix = randomBytes(9).toString('base64url')): () => string {
  let count = 0
  return () => `${prefix}-${(count++).toString(36)}`
}

const nextId = createRequestIds()
const idOfRequest = Symbol('request id')

/** The id of this request, the same at every call with the same object: `<12 characters>-<counter>`. */
export function requestId(request: object): string {
  const holder = request as { [idOfRequest]?: string }
  holder[idOfRequest] ??= nextId()
  return holder[idOfRequest]
}
