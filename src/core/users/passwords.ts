// Password hashes: argon2id off the event loop, with a bounded queue. Stored as PHC strings.
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { ApiError } from '../errors.ts'

export interface Passwords {
  /** PHC string of an argon2id hash. @throws ApiError 503 when the queue is longer than 10 s */
  hash(password: string): Promise<string>
  /** False also for null (no usable password), for which the same work is done. @throws ApiError 503 as above */
  verify(password: string, stored: string | null): Promise<boolean>
  /** True when `stored` was made with other parameters than today's. */
  needsRehash(stored: string): boolean
}

/** Longer ones are refused, never cut. */
export const maximumPasswordLength = 1024

/** OWASP's first choice for argon2id; one hash takes some 35 ms and 19 MiB. */
const today = { memory: 19_456, passes: 2, parallelism: 1 }
const saltBytes = 16
const hashBytes = 32
/** More than could ever be served in time: refused at once, so that a flood cannot fill the memory with passwords. */
const longestQueue = 1000

interface Stored {
  memory: number
  passes: number
  parallelism: number
  salt: Buffer
  hash: Buffer
}

/** Compared with when there is no stored hash; nothing verifies against it, because its bytes are random. */
const noPassword: Stored = { ...today, salt: randomBytes(saltBytes), hash: randomBytes(hashBytes) }

/**
 * Hashes and verifies passwords (RFC 9106) in the thread pool, so many at a time and the rest in a queue.
 * @param options.concurrency hashes computed at the same time; each takes a thread and 19 MiB
 * @param options.maxQueueMs longest wait before a call fails with 503
 */
export function createPasswords(options: { concurrency: number; maxQueueMs?: number }): Passwords {
  const queued = createQueue(options.concurrency, options.maxQueueMs ?? 10_000)
  return {
    async hash(password) {
      if (password.length > maximumPasswordLength)
        throw new ApiError(400, `Ensure the password has no more than ${maximumPasswordLength} characters.`, {
          code: 'invalid',
        })
      const salt = randomBytes(saltBytes)
      return toText({ ...today, salt, hash: await queued(() => derive(password, { ...today, salt })) })
    },
    async verify(password, stored) {
      const tooLong = password.length > maximumPasswordLength
      const known = stored === null ? undefined : parse(stored)
      const expected = known ?? noPassword
      const derived = await queued(() => derive(tooLong ? '' : password, expected))
      return (
        timingSafeEqual(derived, expected.hash.subarray(0, derived.length)) && known !== undefined && !tooLong
      )
    },
    needsRehash(stored) {
      const found = parse(stored)
      return (
        found === undefined ||
        found.memory !== today.memory ||
        found.passes !== today.passes ||
        found.parallelism !== today.parallelism ||
        found.hash.length !== hashBytes
      )
    },
  }
}

/** Runs jobs, at most `concurrency` at once, in the order they came. */
function createQueue(concurrency: number, maxQueueMs: number) {
  let running = 0
  const waiting: { start(): void; timer: NodeJS.Timeout }[] = []
  const turn = (): Promise<void> => {
    if (running < concurrency) {
      running++
      return Promise.resolve()
    }
    if (waiting.length >= longestQueue) return Promise.reject(busy())
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(waiter), 1)
        reject(busy())
      }, maxQueueMs)
      const waiter = { start: resolve, timer }
      waiting.push(waiter)
    })
  }
  return async function run<T>(job: () => Promise<T>): Promise<T> {
    await turn()
    try {
      return await job()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else {
        clearTimeout(next.timer)
        next.start()
      }
    }
  }
}

function busy(): ApiError {
  return new ApiError(503, 'Too many sign-ins at the moment. Try again in a few seconds.', {
    code: 'busy',
    retryAfterSeconds: 10,
  })
}

/** Unicode forms of the same text are the same password (NFC). */
function derive(password: string, parameters: Omit<Stored, 'hash'> & { hash?: Buffer }): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    argon2(
      'argon2id',
      {
        message: Buffer.from(password.normalize('NFC')),
        nonce: parameters.salt,
        parallelism: parameters.parallelism,
        tagLength: parameters.hash?.length ?? hashBytes,
        memory: parameters.memory,
        passes: parameters.passes,
      },
      (error, key) => (error === null ? resolve(key) : reject(error)),
    )
  })
}

function toText(s: Stored): string {
  const parameters = `m=${s.memory},t=${s.passes},p=${s.parallelism}`
  return `$argon2id$v=19$${parameters}$${base64(s.salt)}$${base64(s.hash)}`
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}

/** @returns undefined for anything but an argon2id PHC string of bearable cost */
function parse(text: string): Stored | undefined {
  const parts =
    /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,86})$/.exec(
      text,
    )
  if (parts === null) return undefined
  const [memory, passes, parallelism] = [Number(parts[1]), Number(parts[2]), Number(parts[3])]
  const cheapEnough = memory <= 1_048_576 && passes >= 1 && passes <= 20 && parallelism >= 1
  if (!cheapEnough || memory < 8 * parallelism) return undefined
  return {
    memory,
    passes,
    parallelism,
    salt: Buffer.from(parts[4]!, 'base64'),
    hash: Buffer.from(parts[5]!, 'base64'),
  }
}
