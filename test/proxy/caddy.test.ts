// The Caddy example, in a real Caddy.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort, programPath, startFront, testFolder } from './front-proxy.ts'
import { walkBehind } from './front-walk.ts'

test('behind Caddy: login, identity, allow-list, upgrade, sign-out, SESSION_END', async t => {
  const program = programPath('caddy', 'caddy')
  const folder = await testFolder(t)
  await walkBehind(t, async ({ outpostPort, upstreamPort }) => {
    const port = await freePort()
    const example = await readFile(join(import.meta.dirname, '../../examples/caddy/Caddyfile'), 'utf8')
    const site = example
      .replace('http://app.example {', `http://app.example:${port} {\n\tbind 127.0.0.1`)
      .replaceAll('127.0.0.1:8080', `127.0.0.1:${upstreamPort}`)
      .replaceAll('127.0.0.1:9000', `127.0.0.1:${outpostPort}`)
    const file = join(folder, 'Caddyfile')
    await writeFile(file, `{\n\tadmin off\n\tauto_https off\n}\n${site}`)
    const env = { XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder, HOME: folder }
    await startFront(t, { program, args: ['run', '--config', file, '--adapter', 'caddyfile'], port, env })
    return port
  })
})
