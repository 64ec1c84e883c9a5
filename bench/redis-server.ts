// Redis as Debian packages it, on a socket of its own in a temporary folder.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createClient } from '@redis/client'
import { endWithRun, temporaryFolder } from './left-over.ts'

export interface RedisServer {
  socket: string
  pid: number
  version: string
  close(): Promise<void>
}

/**
 * @param options.durable true = every write goes to the append-only file, flushed once a second; false = nothing is kept, as for a cache
 * @throws Error when `redis-server` cannot be started
 */
export async function startRedis(options: { durable: boolean }): Promise<RedisServer> {
  const folder = await temporaryFolder('redis')
  const socket = join(folder, 'redis.sock')
  const persistence = options.durable ? ['--appendonly', 'yes', '--appendfsync', 'everysec'] : []
  const child = spawn(
    'redis-server',
    ['--port', '0', '--unixsocket', socket, '--dir', folder, '--save', '', ...persistence],
    { stdio: 'ignore' },
  )
  endWithRun(child)
  const ended = once(child, 'exit').catch(() => {})
  const client = createClient({ socket: { path: socket, reconnectStrategy: tries => tries < 200 && 50 } })
  client.on('error', () => {}) // it is not listening yet
  try {
    await client.connect()
    const version = /redis_version:(\S+)/.exec(await client.info('server'))?.[1] ?? 'unknown'
    await client.close()
    return { socket, pid: child.pid ?? 0, version, close }
  } catch (error) {
    await close()
    throw new Error('redis-server cannot be started; it is in the package redis-server of Debian', {
      cause: error,
    })
  }

  async function close(): Promise<void> {
    if (child.exitCode === null && child.pid !== undefined) child.kill('SIGTERM')
    await ended
    await rm(folder, { recursive: true, force: true })
  }
}
