// `postern test-email` as an operator runs it.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createAuthority } from '../pg/certificates.ts'
import { startProgram } from '../programs.ts'
import { refusal, startMailServer } from './mail-server.ts'

test('it sends one message with the settings of the environment and says what the server answered', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-mail-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const root = createAuthority(folder, 'mail root')
  const { cert, key } = root.issue('localhost', 'DNS:localhost')
  const server = await startMailServer(t, {
    cert: readFileSync(cert),
    key: readFileSync(key),
    onAuth: ({ username, password }, _session, done) =>
      username === 'mailer' && password === 'from a file'
        ? done(null, { user: username })
        : done(refusal('535 no')),
  })
  writeFileSync(join(folder, 'password'), 'from a file\n')
  const env = {
    AUTHENTIK_EMAIL__HOST: 'localhost',
    AUTHENTIK_EMAIL__PORT: String(server.port),
    AUTHENTIK_EMAIL__USERNAME: 'mailer',
    AUTHENTIK_EMAIL__PASSWORD: `file://${join(folder, 'password')}`,
    AUTHENTIK_EMAIL__USE_TLS: 'true',
    AUTHENTIK_EMAIL__FROM: 'Example ID <id@example.com>',
    POSTERN_EMAIL_ROOT_CERT: root.root,
  }
  const program = startProgram(t, ['test-email', 'jane@example.com'], env)
  assert.equal(await program.ended, 0, program.output())
  assert.match(program.output(), /STARTTLS, login as mailer[\s\S]*sent: 250/)
  assert.doesNotMatch(program.output(), /from a file/)
  assert.deepEqual(
    server.received.map(({ from, to, user }) => [from, to.join(), user]),
    [['id@example.com', 'jane@example.com', 'mailer']],
  )

  const wrong = startProgram(t, ['test_email', 'jane@example.com'], {
    ...env,
    AUTHENTIK_EMAIL__PASSWORD: 'x',
  })
  assert.equal(await wrong.ended, 1)
  assert.match(wrong.output(), /^not sent: localhost:\d+ answered: 535/m)
})

test('settings that cannot be meant stop it with a line each', async t => {
  const host = { AUTHENTIK_EMAIL__HOST: 'mail.example.com' }
  const cases: [Record<string, string>, RegExp, number][] = [
    [{}, /^not sent: AUTHENTIK_EMAIL__HOST is not set/m, 1],
    [
      { ...host, AUTHENTIK_EMAIL__USERNAME: 'u' },
      /^AUTHENTIK_EMAIL__USERNAME: the password would cross the network/m,
      1,
    ],
    [
      { ...host, AUTHENTIK_EMAIL__USE_TLS: 'true', AUTHENTIK_EMAIL__USE_SSL: 'true' },
      /^AUTHENTIK_EMAIL__USE_TLS .* exclude each other/m,
      1,
    ],
    [{ ...host, AUTHENTIK_EMAIL__FROM: 'nobody' }, /AUTHENTIK_EMAIL__FROM must be an address/, 1],
    [
      { AUTHENTIK_EMAIL__PASWORD: 'x' },
      /AUTHENTIK_EMAIL__PASWORD .* did you mean AUTHENTIK_EMAIL__PASSWORD/,
      1,
    ],
  ]
  for (const [env, line, code] of cases) {
    const program = startProgram(t, ['test-email', 'jane@example.com'], env)
    assert.equal(await program.ended, code, program.output())
    assert.match(program.output(), line)
  }
  const nobody = startProgram(t, ['test-email'], host)
  assert.equal(await nobody.ended, 2)
})
