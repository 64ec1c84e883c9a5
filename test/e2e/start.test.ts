import assert from 'node:assert/strict'
import { chown, readdir, readFile, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkout, checkoutFor } from '../checkout.ts'
import { startProgram } from '../programs.ts'
import { createClient } from './http-client.ts'
import {
  freePort,
  type Installation,
  isAlive,
  postgresPid,
  startInstallation,
  temporaryFolder,
} from './installation.ts'

const limit = { timeout: 240_000 }
const nobody = 65_534

test(
  'one data directory through its life: first start, second start, a crash, another port',
  limit,
  async t => {
    const dataDirectory = await temporaryFolder(t)
    const first = await startInstallation(t, { dataDirectory })
    const person = createClient()

    await t.test('the first start prints addresses and, once, the password', () => {
      const said = first.program.output()
      assert.equal(said.split(first.password).length, 2, 'the password is not there exactly once')
      assert.match(said, new RegExp(`Demo application +${first.demoUrl}\\n`))
      assert.match(said, new RegExp(`Core +${first.coreUrl}\\n`))
      assert.match(said, /User name +akadmin\n/)
      assert.match(said, /npm run proxy/)
      assert.doesNotMatch(said, /"level":"(error|warning)"/)
    })

    await t.test('only the owner can look into the folder and its files', async () => {
      assert.equal((await stat(dataDirectory)).mode & 0o777, 0o700)
      for (const name of await filesOf(dataDirectory))
        assert.equal((await stat(join(dataDirectory, name))).mode & 0o077, 0, name)
      for (const name of ['secret_key', 'admin-password', 'proxy.env'])
        assert.equal((await stat(join(dataDirectory, name))).mode & 0o777, 0o600, name)
    })

    await t.test('signing in with the printed login opens the demo application', async () => {
      const page = await person.signIn(`${first.demoUrl}/a?b=c`, 'akadmin', first.password)
      assert.equal(page.status, 200)
      assert.equal(page.url, `${first.demoUrl}/a?b=c`)
      assert.match(page.body, /Hello, Postern administrator/)
    })

    await t.test(
      'a second start on the same folder is refused with one line, and disturbs nothing',
      async () => {
        const port = await freePort()
        const second = startProgram(t, ['start'], {
          ...first.env,
          AUTHENTIK_LISTEN__HTTP: `127.0.0.1:${port}`,
          AUTHENTIK_LISTEN__METRICS: `127.0.0.1:${await freePort()}`,
        })
        assert.equal(await second.ended, 1)
        const lines = second.output().trim().split('\n')
        assert.equal(lines.length, 1, second.output())
        assert.match(second.output(), new RegExp(`is used by process ${first.program.pid}: stop it first`))
        assert.equal(await answers(port), false)
        assert.equal((await person.ask(`${first.demoUrl}/`)).status, 200)
      },
    )

    await t.test('^C ends everything, PostgreSQL included, with exit code 0', async () => {
      const postgres = await postgresPid(dataDirectory)
      assert.ok(postgres !== undefined)
      assert.equal(await first.program.stop('SIGINT'), 0, first.program.output())
      assert.equal(isAlive(postgres), false)
      assert.equal(await answers(portOf(first)), false)
      assert.doesNotMatch(first.program.output(), /"level":"error"/)
    })

    const second = await startInstallation(t, { dataDirectory, env: first.env })
    await t.test('the second start has the same data and does not print the password again', async () => {
      assert.equal(second.password, first.password)
      assert.equal(second.program.output().includes(first.password), false)
      assert.match(second.program.output(), new RegExp(`Password +in ${dataDirectory}/admin-password\\n`))
      const applications = await person.ask(`${second.coreUrl}/api/v3/core/applications/`)
      assert.equal(applications.status, 200, 'the session in Core ended')
      assert.deepEqual(slugsOf(applications.body), ['demo'])
    })
    await t.test('and whoever was signed in still is', async () => {
      const page = await person.ask(`${second.demoUrl}/`)
      assert.equal(page.status, 200)
      assert.match(page.body, /Hello, Postern administrator/)
    })

    const left = await postgresPid(dataDirectory)
    await second.program.stop('SIGKILL')
    const third = await startInstallation(t, { dataDirectory })
    await t.test('after a crash the next start takes the PostgreSQL that was left over', async () => {
      assert.ok(left !== undefined)
      assert.equal(await postgresPid(dataDirectory), left)
      assert.match(third.program.output(), /embedded PostgreSQL still runs, using it/)
    })
    await t.test(
      'on another port the demo application and proxy.env follow, and nobody is signed out',
      async () => {
        assert.notEqual(third.demoUrl, second.demoUrl)
        const page = await person.ask(`${third.demoUrl}/`)
        assert.equal(page.status, 200)
        assert.match(page.body, /Hello, Postern administrator/)
        const anew = await createClient().signIn(`${third.demoUrl}/x`, 'akadmin', third.password)
        assert.equal(anew.url, `${third.demoUrl}/x`)
        const env = await readFile(join(dataDirectory, 'proxy.env'), 'utf8')
        assert.match(env, new RegExp(`^AUTHENTIK_HOST=http://127.0.0.1:${portOf(third)}$`, 'm'))
      },
    )
    await t.test('a start that takes over a left-over PostgreSQL stops it as well', async () => {
      assert.equal(await third.program.stop('SIGINT'), 0, third.program.output())
      assert.equal(await postgresPid(dataDirectory), undefined)
    })
  },
)

test('an ordinary user starts it, and everything is in the folder', limit, async t => {
  const asRoot = process.getuid?.() === 0
  const dataDirectory = await temporaryFolder(t)
  const options = asRoot ? { uid: nobody, gid: nobody } : {}
  if (asRoot) await chown(dataDirectory, nobody, nobody)
  const { root, node } = asRoot ? checkoutFor(t, nobody) : { root: checkout, node: process.execPath }
  const installation = await startInstallation(t, { dataDirectory, root, node, ...options })
  const page = await createClient().signIn(`${installation.demoUrl}/`, 'akadmin', installation.password)
  assert.match(page.body, /Hello, Postern administrator/)
  const owner = asRoot ? nobody : process.getuid?.()
  for (const name of ['.', ...(await readdir(dataDirectory))]) {
    const found = await stat(join(dataDirectory, name))
    assert.equal(found.uid, owner, name)
    assert.equal(found.mode & 0o077, 0, name)
  }
  assert.ok((await readdir(join(dataDirectory, 'postgres'))).includes('data'))
  assert.equal(await installation.program.stop('SIGINT'), 0, installation.program.output())
  assert.equal(await postgresPid(dataDirectory), undefined)
})

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  return entries.filter(entry => entry.isFile()).map(entry => entry.name)
}

function slugsOf(body: string): string[] {
  return (JSON.parse(body) as { results: { slug: string }[] }).results.map(({ slug }) => slug)
}

function portOf({ coreUrl }: Installation): number {
  return Number(new URL(coreUrl).port)
}

function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
