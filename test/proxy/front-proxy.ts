// Real front proxies for tests: started on a free port with a configuration made from examples/, ended with the test.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { until } from './harness.ts'

/** Where Debian puts them; PATH of a test run need not hold /usr/sbin. */
const folders = ['/usr/sbin', '/usr/bin', '/usr/local/bin', '/usr/local/sbin', '/opt/homebrew/bin']

/** Path of a program. @throws Error saying how to install it */
export function programPath(name: string, debianPackage: string): string {
  const found = folders.map(folder => join(folder, name)).find(path => existsSync(path))
  if (found === undefined)
    throw new Error(`${name} is not installed: apt-get install -y --no-install-recommends ${debianPackage}`)
  return found
}

/** A folder of the test's own. */
export async function testFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-front-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = net.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Starts a program and waits until its port answers; it is ended, and waited for, when the test ends. */
export async function startFront(
  t: TestContext,
  command: { program: string; args: string[]; port: number; env?: Record<string, string> },
): Promise<void> {
  const { program, args, port, env = {} } = command
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (said += chunk))
  const exited = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGTERM')
    await exited
  })
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`${program} ended: ${said}`)
    return answers(port)
  }, `${program} to listen`)
}

function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
