// Mail through the task queue: real engine, real PostgreSQL, real SMTP server.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createMailer, type Mailer } from '../../src/core/mail/mailer.ts'
import type { MailServer } from '../../src/core/mail/smtp.ts'
import { createSecrets } from '../../src/core/secrets.ts'
import { certificateActor } from '../../src/core/tasks/certificates.ts'
import { mailActor } from '../../src/core/tasks/send-mail.ts'
import { silentLog } from '../../src/log.ts'
import { sql } from '../../src/pg/db.ts'
import type { AnyActor } from '../../src/pg/tasks/actor.ts'
import type { Tasks } from '../../src/pg/tasks/tasks.ts'
import { eventually } from '../pg/eventually.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { startTaskProcess } from '../tasks/process.ts'
import { settingsFor, startMailServer } from './mail-server.ts'

const secretKey = 'a test key that is long enough for it'
const content = {
  title: 'Your link',
  paragraphs: ['Open this: https://id.example.com/secret-link-4711'],
  reason: 'You asked for it.',
}
const jane = { name: 'Jane', address: 'jane@example.com' }

/** A worker with mail, over a database of its own, or (role `enqueue`) a process that only asks for mail. */
async function startMail(
  t: TestContext,
  server: (() => MailServer) | undefined,
  options: { role?: 'enqueue' | 'work'; backoffSeconds?: number } = {},
) {
  const database = await testDatabase(t)
  const { db } = database
  const secrets = createSecrets(secretKey)
  const core = { db, secrets, baseUrl: new URL('https://id.example.com'), log: silentLog }
  let tasks: Tasks | undefined
  const mailer: Mailer = createMailer({
    core,
    enabled: server !== undefined,
    enqueue: (...task) => tasks!.enqueue(...task),
  })
  const actors: AnyActor[] = [
    mailActor(core, server, options.backoffSeconds ?? 0.05),
    certificateActor(core, mailer),
  ]
  const engine = await startTaskProcess(database.target, actors, { role: options.role ?? 'work' })
  tasks = engine.tasks
  t.after(() => engine.close())
  return { database, db, mailer, tasks: engine.tasks, engine }
}

interface Run {
  attempt: number
  final: boolean
  status: string
  error: string | null
}

async function runs({ db }: TestDatabase): Promise<Run[]> {
  return await db.rows(
    sql<Run>`select attempt, final, status, error from task_runs where actor = 'send_mail' order by finished_at, attempt`,
  )
}

test('a message exists if and only if its transaction commits, and leaves once', async t => {
  const server = await startMailServer(t)
  const { db, database, mailer } = await startMail(t, () => server.settings)
  await assert.rejects(
    db.transaction(async tx => {
      await mailer.send(tx, { name: '', address: 'nobody@example.com' }, content)
      throw new Error('rolled back')
    }),
    /rolled back/,
  )
  assert.equal(await db.transaction(tx => mailer.send(tx, jane, content)), true)
  await eventually(async () => (await runs(database)).length === 1, 30_000)
  assert.deepEqual(
    server.received.map(one => one.to),
    [['jane@example.com']],
  )
  const events = await db.rows(
    sql<{ context: Record<string, string> }>`select context from events where action = 'email_sent'`,
  )
  assert.equal(events.length, 1)
  assert.equal(events[0]?.context.message_id, server.received[0]?.messageId)
})

test('what a message says is sealed in the tables of tasks, before and after', async t => {
  const server = await startMailServer(t)
  const { db, database, mailer } = await startMail(t, () => server.settings)
  await mailer.send(db, jane, content)
  await eventually(async () => (await runs(database)).length === 1, 30_000)
  assert.match(server.received[0]?.raw ?? '', /secret-link-4711/)
  const text = JSON.stringify([
    await db.rows(sql`select * from task_runs`),
    await db.rows(sql`select * from task_logs`),
    await db.rows(sql`select * from pgboss.job`),
    await db.rows(sql`select * from events`),
  ])
  assert.match(text, /jane@example\.com/)
  assert.doesNotMatch(text, /secret-link/)
})

test('"later" is asked again with the same Message-ID, "no" is not, and its line is the task\'s error', async t => {
  const answers = ['451 Greylisted', '421 Too many', undefined]
  const server = await startMailServer(t, { refuse: () => answers.shift() })
  const { db, database, mailer } = await startMail(t, () => server.settings)
  await mailer.send(db, jane, content)
  await eventually(async () => (await runs(database)).length === 3, 30_000)
  assert.deepEqual(
    (await runs(database)).map(({ attempt, final, error }) => [
      attempt,
      final,
      /answered: (.*)$/.exec(error ?? '')?.[1],
    ]),
    [
      [1, false, '451 Greylisted'],
      [2, false, '421 Too many'],
      [3, true, undefined],
    ],
  )
  assert.equal(server.received.length, 1)
  assert.match(server.received[0]?.messageId ?? '', /^<[0-9a-f-]{36}@id\.example\.com>$/)

  const strict = await startMailServer(t, { refuse: () => '554 Message looks like spam' })
  const second = await startMail(t, () => strict.settings)
  await second.mailer.send(second.db, jane, content)
  await eventually(async () => (await runs(second.database)).some(run => run.final), 30_000)
  const [only, ...others] = await runs(second.database)
  assert.deepEqual(others, [])
  assert.equal(only?.status, 'error')
  assert.match(only?.error ?? '', /answered: 554 Message looks like spam/)
})

test('mail waits for a server that is down, and arrives when it is up', async t => {
  const down = await startMailServer(t)
  await down.close()
  const { db, database, mailer } = await startMail(t, () => settingsFor(down.port), { backoffSeconds: 0.2 })
  await mailer.send(db, jane, content)
  await eventually(async () => (await runs(database)).length >= 2, 30_000)
  const up = await startMailServer(t, { port: down.port })
  await eventually(() => up.received.length === 1, 60_000)
  assert.deepEqual(up.received[0]?.to, ['jane@example.com'])
})

test('a worker killed after the server took the message costs at most a copy with the same Message-ID', async t => {
  const first = Promise.withResolvers<void>()
  const server = await startMailServer(t, { taken: () => first.resolve() })
  const sender = await startMail(t, () => server.settings, { role: 'enqueue' })
  const startWorker = async (name: string) => {
    const about = { target: sender.database.target(), port: server.port, secretKey, name }
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, 'worker-process.ts'), JSON.stringify(about)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    t.after(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    })
    await once(child.stdout, 'data')
    return child
  }
  const doomed = await startWorker('doomed')
  // It sees the end of the data but cannot write it down: the row it would change is locked.
  await sender.db.transaction(async tx => {
    await sender.mailer.send(sender.db, jane, content)
    await first.promise
    await tx.rows(sql`lock table pgboss.job in share mode`)
    doomed.kill('SIGKILL')
    await once(doomed, 'exit')
  })
  await startWorker('other')
  await eventually(async () => (await runs(sender.database)).some(run => run.final), 90_000)
  const ids = new Set(server.received.map(one => one.messageId))
  assert.equal(ids.size, 1)
  assert.ok(server.received.length <= 2, `${server.received.length} copies`)
  const ended = (await runs(sender.database)).filter(run => run.final)
  assert.equal(ended.length, 1)
  assert.equal(ended[0]?.error, null)
})

test('administrators with an address are told of a certificate once per threshold', async t => {
  const server = await startMailServer(t)
  const { db, mailer, tasks } = await startMail(t, () => server.settings)
  await db.rows(sql`
    insert into users (uuid, username, name, uid, email, is_active)
    select gen_random_uuid(), v.* from (values
      ('root', 'Root', 'u1', 'root@example.com', true), ('gone', '', 'u2', 'gone@example.com', false),
      ('mute', '', 'u3', '', true), ('bad', '', 'u4', 'not an address', true), ('plain', '', 'u5', 'plain@example.com', true),
      ('child', 'Child', 'u6', 'child@example.com', true)) v`)
  await db.rows(
    sql`insert into groups (name, is_superuser) values ('root', true), ('below', false), ('plain', false)`,
  )
  await db.rows(sql`
    insert into group_closure (group_id, ancestor_id)
    select g.id, a.id from groups g join groups a on a.id = g.id or (g.name = 'below' and a.name = 'root')`)
  await db.rows(sql`
    insert into memberships (user_id, group_id)
    select u.id, g.id from users u join groups g
      on g.name = case u.username when 'plain' then 'plain' when 'child' then 'below' else 'root' end`)
  await db.rows(sql`
    insert into certificate_keypairs (name, certificate_pem, fingerprint_sha256, fingerprint_sha1, subject, key_type, not_after)
    values ('web', '', '', '', '', 'ec', now() + interval '5 days'), ('old', '', '', '', '', 'ec', now() - interval '1 hour')`)
  const check = async () => {
    const { id } = await tasks.enqueue(db, 'certificate_expiry', {})
    await eventually(
      async () =>
        (await db.rows(sql`select 1 from task_runs where task_id = ${id} and state = 'done'`)).length === 1,
      30_000,
    )
    await eventually(
      async () =>
        (await db.rows(sql`select 1 from tasks where actor = 'send_mail' and last_run is null`)).length === 0,
      30_000,
    )
    return server.received.map(({ to }) => to.join()).sort()
  }
  assert.deepEqual(await check(), ['child@example.com', 'root@example.com'])
  assert.match(server.received[0]?.raw ?? '', /web[\s\S]*UTC/)
  assert.match(server.received[0]?.raw ?? '', /^Subject: 2 certificates expire/m)
  assert.equal((await check()).length, 2)
  await db.rows(
    sql`update certificate_keypairs set not_after = now() + interval '12 hours' where name = 'web'`,
  )
  assert.equal((await check()).length, 4)
  assert.match(server.received[3]?.raw ?? '', /<title>Certificate &#34;web&#34; expires within a day/)
  assert.equal(await mailer.send(db, { name: '', address: 'not an address' }, content), false)
})

test('without a mail server nothing is enqueued', async t => {
  const { db, mailer } = await startMail(t, undefined, { role: 'enqueue' })
  assert.equal(await mailer.send(db, jane, content), false)
  assert.equal(await mailer.sendToAdministrators(db, content), 0)
  assert.deepEqual(await db.rows(sql`select 1 from tasks`), [])
})
