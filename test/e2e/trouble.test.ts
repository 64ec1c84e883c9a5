import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { testDatabase } from '../postgres.ts'
import { type Program, startProgram } from '../programs.ts'
import { createGate } from './gate.ts'
import { freePort, postgresPid, temporaryFolder } from './installation.ts'
import {
  answers,
  databaseEnv,
  describeSite,
  type Environment,
  listenEnv,
  startService,
} from './production.ts'

const limit = { timeout: 120_000 }

test('a program that cannot start says why in one line, opens nothing and ends with 1', limit, async t => {
  const database = await testDatabase(t, { migrated: false })
  const site = await describeSite(database.target())
  const gate = await createGate(t, database.target())
  await gate.open()
  const nowhere = await freePort()

  const cases: { title: string; program?: string; env: Environment; says: RegExp }[] = [
    {
      title: 'wrong database password',
      env: { AUTHENTIK_POSTGRESQL__PASSWORD: 'not-the-password' },
      says: /refused the password of user \\"\w+\\"\. Check AUTHENTIK_POSTGRESQL__USER and AUTHENTIK_POSTGRESQL__PASSWORD/,
    },
    {
      title: 'wrong database password, worker',
      program: 'worker',
      env: { AUTHENTIK_POSTGRESQL__PASSWORD: 'not-the-password' },
      says: /AUTHENTIK_POSTGRESQL__PASSWORD/,
    },
    {
      title: 'wrong database password, migrate',
      program: 'migrate',
      env: { AUTHENTIK_POSTGRESQL__PASSWORD: 'not-the-password' },
      says: /AUTHENTIK_POSTGRESQL__PASSWORD/,
    },
    {
      title: 'a database that does not exist',
      env: { AUTHENTIK_POSTGRESQL__NAME: 'nobody_made_this' },
      says: /nobody_made_this.*does not exist\. Create it, or check AUTHENTIK_POSTGRESQL__NAME/,
    },
    {
      title: 'TLS asked of a server that has none',
      env: { ...databaseEnv(gate.target()), AUTHENTIK_POSTGRESQL__SSLMODE: 'require' },
      says: /AUTHENTIK_POSTGRESQL__SSLMODE/,
    },
    {
      title: 'a root certificate that is not there',
      env: {
        ...databaseEnv(gate.target()),
        AUTHENTIK_POSTGRESQL__SSLMODE: 'verify-full',
        AUTHENTIK_POSTGRESQL__SSLROOTCERT: '/nowhere/root.pem',
      },
      says: /AUTHENTIK_POSTGRESQL__SSLROOTCERT/,
    },
    {
      title: 'a schema that is not there, and is not to be made',
      env: { POSTERN_MIGRATE: 'off' },
      says: /postern migrate/,
    },
    {
      title: 'an unknown setting',
      env: { POSTERN_BASEURL: 'https://auth.example.com' },
      says: /POSTERN_BASEURL \(environment\) is not a setting: did you mean POSTERN_BASE_URL\?/,
    },
    {
      title: 'an unknown setting of the database section',
      program: 'proxy',
      env: { AUTHENTIK_POSTGRESQL__PASWORD: 'hunter2hunter2' },
      says: /AUTHENTIK_POSTGRESQL__PASWORD.*did you mean AUTHENTIK_POSTGRESQL__PASSWORD\?/,
    },
    {
      title: 'a value no setting of the kind has',
      env: { POSTERN_SESSION_LEASE: 'soon' },
      says: /POSTERN_SESSION_LEASE \(environment\).*"soon"/,
    },
    {
      title: 'no secret key',
      env: { AUTHENTIK_SECRET_KEY: '' },
      says: /AUTHENTIK_SECRET_KEY is not set, and "server" needs it/,
    },
    {
      title: 'a secret key that is too short',
      env: { AUTHENTIK_SECRET_KEY: 'short' },
      says: /AUTHENTIK_SECRET_KEY must have at least 32 characters; make one with/,
    },
    {
      title: 'a token that is none',
      program: 'proxy',
      env: { AUTHENTIK_TOKEN: 'two words', AUTHENTIK_HOST: `http://127.0.0.1:${nowhere}` },
      says: /AUTHENTIK_TOKEN/,
    },
  ]
  for (const { title, program = 'server', env, says } of cases)
    await t.test(title, async t => {
      const given = { ...site.env, ...(program === 'proxy' ? outpostEnv : {}), ...env }
      await refuses(t, program, given, says)
    })

  await t.test('a taken port is named with its setting, whichever listener wants it', async t => {
    const port = await takenPort(t)
    const http = { ...site.env, AUTHENTIK_LISTEN__HTTP: `127.0.0.1:${port}` }
    const metrics = { ...site.env, AUTHENTIK_LISTEN__METRICS: `127.0.0.1:${port}` }
    const says = (name: string) =>
      new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port} \\(${name}\\): the port is taken; stop`)
    await refuses(t, 'server', http, says('AUTHENTIK_LISTEN__HTTP'))
    await refuses(t, 'server', metrics, says('AUTHENTIK_LISTEN__METRICS'))
    await refuses(t, 'proxy', { ...http, ...outpostEnv }, says('AUTHENTIK_LISTEN__HTTP'))
  })

  await t.test('another secret key than the one the database was set up with', async t => {
    const worker = await startService(t, 'worker', site.env)
    assert.equal(await worker.program.stop(), 0)
    const other = { ...site.env, AUTHENTIK_SECRET_KEY: 'another-key-0123456789-abcdefghijklmnop-QRST' }
    const says = /AUTHENTIK_SECRET_KEY is not the key this database was set up with: restore the former key/
    await refuses(t, 'server', other, says)
    await refuses(t, 'worker', other, says)
  })
})

test('`npm start` with a taken port says so and leaves no PostgreSQL behind', limit, async t => {
  const dataDirectory = await temporaryFolder(t)
  const port = await takenPort(t)
  const program = startProgram(t, ['start'], {
    ...(await listenEnv(port)),
    POSTERN_DATA_DIR: dataDirectory,
  })
  assert.equal(await program.ended, 1)
  assert.match(oneComplaint(program), /cannot listen on .*AUTHENTIK_LISTEN__HTTP.*the port is taken/)
  assert.equal(await postgresPid(dataDirectory), undefined)
  assert.doesNotMatch(program.output(), /Postern is running/)
})

test('PostgreSQL that is not there yet is waited for, with pauses, and then all is well', limit, async t => {
  const database = await testDatabase(t)
  const gate = await createGate(t, database.target())
  const site = await describeSite(gate.target())
  const listen = await listenEnv()
  const program = startProgram(t, ['server'], { ...site.env, ...listen })
  await program.matches(/"event":"waiting for PostgreSQL"[\s\S]*"event":"waiting for PostgreSQL"/)
  const [line] = /\{[^\n]*waiting for PostgreSQL[^\n]*\}/.exec(program.output()) ?? ['']
  assert.match(line, new RegExp(`127\\.0\\.0\\.1:${gate.port}`))
  assert.match(line, /"level":"warning"/)
  const times = program.output().match(/waiting for PostgreSQL/g) ?? []
  assert.ok(times.length < 10, `${times.length} attempts at once`)

  const metrics = `http://${listen.AUTHENTIK_LISTEN__METRICS}`
  assert.equal(await status(`${metrics}/-/health/live/`), 200)
  assert.equal(await status(`${metrics}/-/health/ready/`), 503)
  assert.equal(await answers(Number(listen.AUTHENTIK_LISTEN__HTTP?.split(':')[1])), false)
  await gate.open()
  await program.matches(/"event":"server is ready"/)
  assert.equal(await status(`${metrics}/-/health/ready/`), 200)
  assert.equal(await program.stop(), 0)
})

test('an outpost that Core does not know', limit, async t => {
  const database = await testDatabase(t)
  const site = await describeSite(database.target())
  const server = await startService(t, 'server', site.env)
  const outpost: Environment = { ...(await listenEnv()), AUTHENTIK_HOST: server.url }

  await t.test('with a wrong token: one line, then a pause; it does not end and serves nothing', async t => {
    const program = startProgram(t, ['proxy'], { ...outpost, AUTHENTIK_TOKEN: 'no-such-token-anywhere' })
    await program.matches(/"event":"Failed to fetch outpost configuration"/)
    const line = oneComplaint(program)
    assert.match(line, /token/i)
    assert.match(line, /"retry_in_s":60/)
    assert.equal(program.output().includes('no-such-token-anywhere'), false, 'the token is in the log')
    const metrics = `http://${outpost.AUTHENTIK_LISTEN__METRICS}`
    assert.equal(await status(`${metrics}/-/health/live/`), 200)
    assert.equal(await status(`${metrics}/-/health/ready/`), 503)
    assert.equal(await status(`http://${outpost.AUTHENTIK_LISTEN__HTTP}/`), 503)
    oneComplaint(program)
    assert.equal(await program.stop(), 0)
  })

  await t.test('with a token that sees no outpost: one line, and the end', async t => {
    const key = await tokenOfNobody(server.url, site.token)
    await refuses(
      t,
      'proxy',
      { ...outpost, AUTHENTIK_TOKEN: key },
      /no outpost|outposts?\b.*token|token.*outposts?/i,
    )
  })

  await t.test('while Core is away it goes on asking', async t => {
    const port = await freePort()
    const env = { ...outpost, AUTHENTIK_HOST: `http://127.0.0.1:${port}`, AUTHENTIK_TOKEN: 'any' }
    const program = startProgram(t, ['proxy'], env)
    const twice = /Failed to fetch outpost configuration[\s\S]*Failed to fetch outpost configuration/
    await program.matches(twice)
    assert.match(program.output(), new RegExp(`127\\.0\\.0\\.1:${port}`))
    assert.equal(await program.stop(), 0)
  })
})

const outpostEnv = { AUTHENTIK_HOST: 'http://127.0.0.1:9', AUTHENTIK_TOKEN: 'any' }

/** Starts the program, which must end with 1 after one complaint that matches, without having opened its main port. */
async function refuses(t: TestContext, name: string, env: Environment, says: RegExp): Promise<void> {
  const program = startProgram(t, [name], { ...(await listenEnv()), ...env })
  assert.equal(await program.ended, 1, program.output())
  assert.match(oneComplaint(program), says)
  assert.doesNotMatch(program.output(), /is ready/)
  for (const secret of [
    'AUTHENTIK_POSTGRESQL__PASSWORD',
    'AUTHENTIK_SECRET_KEY',
    'AUTHENTIK_POSTGRESQL__PASWORD',
  ]) {
    const value = env[secret] ?? ''
    if (value.length > 8) assert.equal(program.output().includes(value), false, `${secret} is in the output`)
  }
}

/** The one line that is no mere information. */
function oneComplaint(program: Program): string {
  const lines = program.output().trim().split('\n')
  const complaints = lines.filter(line => !/"level":"(info|debug|warning)"/.test(line))
  assert.equal(complaints.length, 1, program.output())
  return complaints[0] ?? ''
}

async function takenPort(t: TestContext): Promise<number> {
  const server = createServer()
  const port = await freePort()
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  t.after(() => new Promise(resolve => server.close(resolve)))
  return port
}

async function status(url: string): Promise<number> {
  const answer = await fetch(url, { redirect: 'manual' })
  await answer.arrayBuffer()
  return answer.status
}

/** Key of an API token whose user has no permission on any outpost. */
async function tokenOfNobody(url: string, admin: string): Promise<string> {
  const call = async (method: string, path: string, body?: object) => {
    const answer = await fetch(`${url}/api/v3/core/${path}`, {
      method,
      headers: { Authorization: `Bearer ${admin}`, 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    assert.ok(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`)
    return (await answer.json()) as { pk: number; key: string }
  }
  const user = await call('POST', 'users/', { username: 'nobody', name: 'Nobody', path: 'users' })
  await call('POST', 'tokens/', { identifier: 'nobody-api', intent: 'api', user: user.pk })
  return (await call('GET', 'tokens/nobody-api/view_key/')).key
}
