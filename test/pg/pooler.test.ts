import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { openConnection } from '../../src/pg/client.ts'
import { PgError } from '../../src/pg/errors.ts'
import { checkPooler, type PoolerSetting, probePooler } from '../../src/pg/pooler.ts'
import type { PgTarget } from '../../src/pg/target.ts'
import { testDatabase } from '../postgres.ts'
import { startPgBouncer, withoutPgBouncer } from './pgbouncer.ts'

type Mode = Parameters<typeof startPgBouncer>[1]

async function behind(t: TestContext, options: Mode) {
  const database = await testDatabase(t, { migrated: false })
  const bouncer = await startPgBouncer(database.directTarget(), options)
  t.after(() => bouncer.stop())
  return { database, bouncer, main: bouncer.target(), direct: database.directTarget() }
}

async function refusal(main: PgTarget, direct: PgTarget, setting: PoolerSetting = 'auto'): Promise<string> {
  const error = await checkPooler({ main, direct, setting }).then(
    () => assert.fail('it was accepted'),
    (error: unknown) => error,
  )
  assert.ok(error instanceof PgError && error.code === 'database_refused', `${error}`)
  assert.doesNotMatch(error.message, /\n/)
  return error.message
}

test('the database itself is known by one statement on one connection, in less than 50 ms', async t => {
  const { directTarget: target, countStatements } = await testDatabase(t, { migrated: false })
  const statements = await countStatements(async () => {
    assert.equal((await probePooler(target())).kind, 'none')
  })
  assert.deepEqual(statements, ['select pg_backend_pid() as pid'])
  const times: number[] = []
  for (let i = 0; i < 5; i++) {
    const started = performance.now()
    await checkPooler({ main: target(), direct: target(), setting: 'auto' })
    times.push(performance.now() - started)
  }
  assert.ok(Math.min(...times) < 50, `${times}`)
})

for (const options of [
  { mode: 'transaction' },
  { mode: 'transaction', roundRobin: true },
  { mode: 'transaction', poolSize: 1 },
] as const) {
  test(`a transaction pooler is recognised (${JSON.stringify(options)}), and the start refused unless the database itself is named`, {
    skip: withoutPgBouncer,
  }, async t => {
    const { main, direct } = await behind(t, options)
    // Idle backends that others left, as on a system in use.
    const crowd = await Promise.all([1, 2, 3].map(() => openConnection(main, { applicationName: 'crowd' })))
    await Promise.all(crowd.map(({ client }) => client.query('select pg_sleep(0.02)')))
    for (const { client } of crowd) await client.end()
    for (let i = 0; i < 5; i++) assert.equal((await probePooler(main)).kind, 'transaction')
    assert.match(
      await refusal(main, main),
      /transaction pooler .* Set AUTHENTIK_POSTGRESQL__DIRECT__HOST to the database itself\. Where nothing but the pooler can be reached, AUTHENTIK_POSTGRESQL__POOLER=transaction-only/,
    )
    assert.match(
      await refusal(main, { ...main, user: main.user, connectTimeoutMs: 1 + main.connectTimeoutMs }),
      /DIRECT__HOST/,
    )
    const verdicts = await checkPooler({ main, direct, setting: 'auto' })
    assert.deepEqual([verdicts.main?.kind, verdicts.direct?.kind], ['transaction', 'none'])
  })
}

test('a session pooler is used like the database', { skip: withoutPgBouncer }, async t => {
  const { main } = await behind(t, { mode: 'session' })
  for (let i = 0; i < 3; i++) assert.equal((await probePooler(main)).kind, 'session')
  const verdicts = await checkPooler({ main, direct: main, setting: 'auto' })
  assert.equal(verdicts.main?.kind, 'session')
})

test('a session pooler with a single backend cannot be judged, so it is refused unless the setting says what it is', {
  skip: withoutPgBouncer,
}, async t => {
  const { main } = await behind(t, { mode: 'session', poolSize: 1 })
  assert.match(await refusal(main, main), /could not be seen .*AUTHENTIK_POSTGRESQL__POOLER=session/)
  await checkPooler({ main, direct: main, setting: 'session' })
})

test('statement mode is refused even with a direct connection', { skip: withoutPgBouncer }, async t => {
  const { main, direct } = await behind(t, { mode: 'statement' })
  assert.match(await refusal(main, direct), /statement mode/)
})

test('a direct connection that leads to a transaction pooler is refused too, also when the setting says what main is', {
  skip: withoutPgBouncer,
}, async t => {
  const { main, database, bouncer } = await behind(t, { mode: 'transaction' })
  const second = await startPgBouncer(database.directTarget(), { mode: 'transaction' })
  t.after(() => second.stop())
  assert.match(await refusal(main, second.target()), /the direct connection .* leads to a pooler as well/)
  assert.match(await refusal(main, second.target(), 'transaction'), /leads to a pooler as well/)
  assert.match(await refusal(main, main, 'transaction'), /POOLER says so/)
  assert.ok(bouncer)
})

test('what is said by the setting is believed without a look', async t => {
  const { directTarget: target, countStatements } = await testDatabase(t, { migrated: false })
  const statements = await countStatements(async () => {
    await checkPooler({ main: target(), direct: target(), setting: 'none' })
    await checkPooler({ main: target(), direct: target(), setting: 'session' })
  })
  assert.deepEqual(statements, [])
})
