// One message to a real SMTP server, under every kind of connection and refusal.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isMailAddress, readMailAddress } from '../../src/core/mail/address.ts'
import { MailDelayed, MailRefused, sendMail } from '../../src/core/mail/smtp.ts'
import { renderMail } from '../../src/core/mail/template.ts'
import { createAuthority } from '../pg/certificates.ts'
import { refusal, settingsFor, startMailServer } from './mail-server.ts'

const site = { title: 'Example ID', url: new URL('https://id.example.com') }
const parts = renderMail(
  {
    title: 'Ünïcode & <title>',
    paragraphs: ['One paragraph.'],
    facts: [['Name', 'a <b> c']],
    reason: 'Because.',
  },
  site,
)
const mail = {
  to: { name: 'Jane "J" Doe', address: 'jane@example.com' },
  subject: 'Grüße',
  messageId: '<1@id.example.com>',
  ...parts,
}

function authority(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'postern-mail-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const root = createAuthority(folder, 'mail root')
  const issue = (name: string, names: string) => {
    const { cert, key } = root.issue(name, names)
    return { cert: readFileSync(cert), key: readFileSync(key) }
  }
  return { root: readFileSync(root.root, 'utf8'), issue }
}

test('a message arrives with both parts, its id, and nothing that names the program that sent it', async t => {
  const server = await startMailServer(t)
  const response = await sendMail(server.settings, mail)
  assert.match(response, /^250/)
  const [one] = server.received
  assert.equal(one?.from, 'postern@id.example.com')
  assert.deepEqual(one.to, ['jane@example.com'])
  assert.equal(one.messageId, '<1@id.example.com>')
  assert.match(one.raw, /^Subject: =\?UTF-8\?Q\?Gr=C3=BC=C3=9Fe\?=/m)
  assert.match(one.raw, /^Auto-Submitted: auto-generated/m)
  assert.match(one.raw, /multipart\/alternative/)
  assert.match(one.raw, /text\/plain[\s\S]*text\/html/)
  assert.doesNotMatch(one.raw, /^x-mailer/im)
})

test('STARTTLS encrypts before login and sender, with a certificate of an own authority', async t => {
  const { root, issue } = authority(t)
  const server = await startMailServer(t, {
    ...issue('localhost', 'DNS:localhost'),
    onAuth: ({ username, password, method }, session, done) =>
      session.secure && username === 'mailer' && password === 'p4ss' && method === 'PLAIN'
        ? done(null, { user: username })
        : done(new Error('no')),
  })
  await sendMail(
    {
      ...server.settings,
      host: 'localhost',
      security: 'starttls',
      username: 'mailer',
      password: 'p4ss',
      rootCertificates: root,
    },
    mail,
  )
  assert.deepEqual(
    server.received.map(({ user, encrypted }) => [user, encrypted]),
    [['mailer', true]],
  )
})

test('TLS from the first byte works, also to an address', async t => {
  const { root, issue } = authority(t)
  const server = await startMailServer(t, { secure: true, ...issue('by-address', 'IP:127.0.0.1') })
  await sendMail({ ...server.settings, security: 'tls', rootCertificates: root }, mail)
  assert.equal(server.received[0]?.encrypted, true)
})

test('a certificate of a stranger or for another name is refused, and nothing is said', async t => {
  const { root, issue } = authority(t)
  const pair = issue('localhost', 'DNS:localhost')
  for (const secure of [true, false]) {
    const server = await startMailServer(t, { secure, ...pair })
    const security = secure ? ('tls' as const) : ('starttls' as const)
    await assert.rejects(
      sendMail({ ...server.settings, host: 'localhost', security }, mail),
      (error: Error) => error instanceof MailDelayed && /POSTERN_EMAIL_ROOT_CERT/.test(error.message),
    )
    await assert.rejects(
      sendMail({ ...server.settings, host: '127.0.0.1', security, rootCertificates: root }, mail),
      (error: Error) => error instanceof MailDelayed && /certificate|altnames/i.test(error.message),
    )
    assert.equal(server.received.length, 0)
  }
})

test('with STARTTLS asked for, a server that does not offer it gets no message', async t => {
  const server = await startMailServer(t)
  await assert.rejects(sendMail({ ...server.settings, security: 'starttls' }, mail), MailDelayed)
  assert.equal(server.received.length, 0)
})

test('a wrong password is refused for good, and stands in no error', async t => {
  const { root, issue } = authority(t)
  const server = await startMailServer(t, {
    ...issue('localhost', 'DNS:localhost'),
    onAuth: (_auth, _session, done) => done(refusal('535 Authentication failed')),
  })
  const login = {
    host: 'localhost',
    security: 'starttls' as const,
    username: 'mailer',
    password: 'hunter2-hunter2',
    rootCertificates: root,
  }
  await assert.rejects(sendMail({ ...server.settings, ...login }, mail), (error: Error) => {
    assert.ok(error instanceof MailRefused)
    assert.match(error.message, /answered: 535/)
    assert.doesNotMatch(JSON.stringify([error.message, error.stack]), /hunter2/)
    return true
  })
})

test('4xx may pass, 5xx does not; the line of the server is told in one line', async t => {
  const codes = ['451 Greylisted, come back', '554 Message looks like spam']
  const server = await startMailServer(t, { refuse: () => codes.shift() })
  await assert.rejects(
    sendMail(server.settings, mail),
    (error: Error) => error instanceof MailDelayed && /answered: 451 Greylisted/.test(error.message),
  )
  await assert.rejects(
    sendMail(server.settings, mail),
    (error: Error) =>
      error instanceof MailRefused && /answered: 554 Message looks like spam/.test(error.message),
  )
  const picky = await startMailServer(t, {
    onRcptTo: (_address, _session, done) => done(refusal('550 No such user here')),
  })
  await assert.rejects(
    sendMail(picky.settings, mail),
    (error: Error) => error instanceof MailRefused && /550 No such user here/.test(error.message),
  )
})

test('no server, and one that says nothing, are trouble that may pass', async t => {
  const closed = await startMailServer(t)
  await closed.close()
  await assert.rejects(sendMail(closed.settings, mail), MailDelayed)
  const silent = createServer(() => {})
  await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
  const sockets = new Set<{ destroy(): void }>()
  silent.on('connection', socket => sockets.add(socket))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    silent.close()
  })
  const { port } = silent.address() as { port: number }
  await assert.rejects(sendMail({ ...settingsFor(port), timeoutMs: 200 }, mail), MailDelayed)
})

test('headers and recipients cannot be smuggled in', async t => {
  const server = await startMailServer(t)
  const attempts = [
    { ...mail, subject: 'Hello\r\nBcc: all@example.com' },
    { ...mail, subject: 'Hello\nX: y' },
    { ...mail, to: { name: 'a\r\nBcc: all@example.com', address: 'jane@example.com' } },
    { ...mail, to: { name: '', address: 'jane@example.com>\r\nRCPT TO:<all@example.com' } },
    { ...mail, to: { name: '', address: 'jane@example.com, all@example.com' } },
    { ...mail, to: { name: '', address: 'a@b@example.com' } },
    { ...mail, messageId: '<1@x>\r\nBcc: all@example.com' },
  ]
  for (const attempt of attempts) await assert.rejects(sendMail(server.settings, attempt), MailRefused)
  assert.equal(server.connections(), 0)
  // A name that looks like an address is quoted and stays a name.
  await sendMail(server.settings, { ...mail, to: { name: 'x@evil.example, y', address: 'jane@example.com' } })
  assert.deepEqual(server.received[0]?.to, ['jane@example.com'])
})

test('an address is read strictly', () => {
  for (const good of ['a@b.c', 'first.last+tag@mail.example.com', 'postern@localhost', 'jürgen@exämple.de'])
    assert.ok(isMailAddress(good), good)
  const bad = [
    '',
    'a',
    '@b',
    'a@',
    'a@b@c',
    'a b@c',
    'a@b c',
    '<a@b>',
    'a@[1.2.3.4]',
    'a..b@c',
    '.a@c',
    'a@b..c',
    'a\n@b',
    'a@b\u0000',
  ]
  for (const text of bad) assert.ok(!isMailAddress(text), JSON.stringify(text))
  assert.deepEqual(readMailAddress('Example ID <id@example.com>'), {
    name: 'Example ID',
    address: 'id@example.com',
  })
  assert.deepEqual(readMailAddress('"Example, Inc." <id@example.com>'), {
    name: 'Example, Inc.',
    address: 'id@example.com',
  })
  assert.equal(readMailAddress('Example ID <id@example.com> x'), undefined)
})

test('the text part says what the HTML part says, and nothing in either can break out', () => {
  assert.match(parts.html, /&#38; &#60;title&#62;/)
  assert.match(parts.html, /a &#60;b&#62; c/)
  assert.doesNotMatch(parts.html, /<(img|script|link|iframe)|url\(|src=/i)
  for (const text of [
    'Ünïcode & <title>',
    'One paragraph.',
    'Name: a <b> c',
    'Because.',
    'https://id.example.com',
  ])
    assert.ok(parts.text.includes(text), text)
  const forged = renderMail({ title: 't', paragraphs: [], facts: [['A', 'x\nB: y']], reason: '' }, site)
  assert.match(forged.text, /^A: x B: y$/m)
})
