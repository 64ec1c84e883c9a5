// Bodies of isolated tasks, as a module of its own: each does what its payload says.
import type { IsolatedContext } from '../../src/pg/tasks/actor.ts'

export async function run({ payload, attempt, log, progress, signal }: IsolatedContext<{ what: string }>) {
  switch (payload.what) {
    case 'count': {
      let primes = 0
      for (let n = 2; n < 20_000; n++) if (isPrime(n)) primes++
      progress(20_000, 20_000)
      log.info('counted', { primes, password: 'never kept' })
      return { primes, attempt }
    }
    case 'fail':
      throw new Error(`attempt ${attempt} fails`)
    case 'spin':
      log.info('spinning')
      for (;;) isPrime(1_000_003)
    case 'hog': {
      const held: number[][] = []
      for (;;) held.push(Array.from({ length: 100_000 }, (_, n) => n + held.length))
    }
    case 'leave':
      return process.exit(3)
    case 'linger':
      setInterval(() => {}, 1000)
      return 'done'
    case 'environment':
      return Object.keys(process.env)
    default:
      // Heeds its signal.
      await new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
      )
  }
}

function isPrime(n: number): boolean {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false
  return true
}
