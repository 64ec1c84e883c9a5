// What every link between an outpost and Core must do, whatever carries it: the WebSocket form and the in-process form run
// the same suite.
import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { type Frame, type HelloArgs, instruction, type SessionEndArgs } from '../../src/wire/frames.ts'
import type { LinkHandlers, OutpostLink } from '../../src/wire/link.ts'
import type { OutpostEvent } from '../../src/wire/outpost.ts'

/** A link to a Core that holds one outpost with at least one provider, and what to do on Core's side. */
export interface LinkFixture {
  link: OutpostLink
  expected: {
    outpostName: string
    /** names of all providers the outpost may see */
    providerNames: string[]
    /** of one provider; its private key is readable for the outpost */
    certificate: { uuid: string; fingerprint: string }
  }
  /** Core tells that the configuration changed. */
  pushUpdate(): void | Promise<void>
  /** Core tells that a session ended. */
  pushSessionEnd(args: Omit<SessionEndArgs, 'type'>): void | Promise<void>
  /** Frames Core got, ACK left out. */
  receivedFrames(): Frame[] | Promise<Frame[]>
  /** Events Core got. */
  receivedEvents(): OutpostEvent[] | Promise<OutpostEvent[]>
}

/** @param open starts Core and a link to it; both end with the test */
export function linkConformance(name: string, open: (t: TestContext) => Promise<LinkFixture>): void {
  suite(`link: ${name}`, { concurrency: 4 }, () => {
    test('the instance is the outpost of the token, with what an outpost reads', async t => {
      const { link, expected } = await open(t)
      const instance = await link.instance()
      assert.equal(instance.name, expected.outpostName)
      assert.match(instance.pk, /^[0-9a-f-]{36}$/)
      assert.equal(typeof instance.refresh_interval_s, 'number')
      assert.equal(typeof instance.config.authentik_host, 'string')
    })

    test('the root configuration tells whether errors are reported', async t => {
      const { link } = await open(t)
      assert.equal(typeof (await link.rootConfig()).error_reporting.enabled, 'boolean')
    })

    test('all providers are there, each with secrets and absolute endpoints', async t => {
      const { link, expected } = await open(t)
      const providers = await link.providers()
      assert.deepEqual(providers.map(provider => provider.name).sort(), [...expected.providerNames].sort())
      for (const provider of providers) {
        assert.ok(provider.client_id !== '' && provider.client_secret !== '' && provider.cookie_secret !== '')
        assert.ok(URL.canParse(provider.external_host))
        assert.ok(URL.canParse(provider.oidc_configuration.token_endpoint))
        assert.ok(['proxy', 'forward_single', 'forward_domain'].includes(provider.mode))
      }
    })

    test('a certificate travels with its key, and not at all when its fingerprint is known', async t => {
      const { link, expected } = await open(t)
      const { uuid, fingerprint } = expected.certificate
      const bundle = await link.certificate(uuid)
      assert.ok(bundle !== null)
      assert.equal(plain(bundle.fingerprint_sha256), plain(fingerprint))
      assert.match(bundle.certificate_pem, /^-----BEGIN CERTIFICATE-----/)
      assert.match(bundle.private_key_pem, /^-----BEGIN [A-Z ]*PRIVATE KEY-----/)
      assert.equal(await link.certificate(uuid, bundle.fingerprint_sha256), null)
      assert.ok((await link.certificate(uuid, 'AA:BB')) !== null)
    })

    test('an event reaches Core as it was reported', async t => {
      const { link, receivedEvents } = await open(t)
      const event = {
        action: 'configuration_error',
        app: 'authentik.providers.proxy',
        context: { message: 'm' },
      }
      await link.reportEvent(event)
      await until(async () => (await receivedEvents()).some(seen => seen.action === event.action))
      const seen = (await receivedEvents()).find(found => found.action === event.action)!
      assert.equal(seen.app, event.app)
      assert.equal(seen.context.message, 'm')
    })

    test('the back channel answers with status and JSON, refusals too', async t => {
      const { link } = await open(t)
      const [provider] = await link.providers()
      const { client_id, client_secret } = provider!
      const credentials = { client_id, client_secret }
      const refused = await link.backChannel(provider!, {
        endpoint: 'token',
        form: {
          grant_type: 'authorization_code',
          code: 'no such code',
          redirect_uri: 'https://x/',
          ...credentials,
        },
      })
      assert.equal(refused.status, 400)
      assert.equal((refused.body as { error?: string }).error, 'invalid_grant')
      const unknown = await link.backChannel(provider!, {
        endpoint: 'introspection',
        form: { token: 'no such token', ...credentials },
      })
      assert.deepEqual([unknown.status, (unknown.body as { active?: boolean }).active], [200, false])
      const keys = await link.backChannel(provider!, { endpoint: 'jwks' })
      assert.equal(keys.status, 200)
      assert.ok(Array.isArray((keys.body as { keys?: unknown }).keys))
    })

    test('once open, the link says hello with what the outpost tells, and says that it is connected', async t => {
      const { link, receivedFrames } = await open(t)
      const outpost = recordingOutpost(3)
      link.open(await link.instance(), outpost.handlers)
      await until(() => outpost.connects === 1)
      await until(async () => (await receivedFrames()).some(frame => frame.instruction === instruction.hello))
      const hello = (await receivedFrames()).find(frame => frame.instruction === instruction.hello)!
      for (const [key, value] of Object.entries(outpost.handlers.hello()))
        assert.deepEqual(hello.args[key], value, key)
    })

    test('an update and the end of a session reach the outpost, an ACK does not', async t => {
      const fixture = await open(t)
      const { link, receivedFrames } = fixture
      const outpost = recordingOutpost(0)
      link.open(await link.instance(), outpost.handlers)
      await until(async () => (await receivedFrames()).some(frame => frame.instruction === instruction.hello))
      await fixture.pushUpdate()
      await until(() => outpost.frames.some(frame => frame.instruction === instruction.triggerUpdate))
      const session_id = 'ab'.repeat(32)
      await fixture.pushSessionEnd({ session_id, id: 17, user: '' })
      await fixture.pushSessionEnd({ session_id: '', id: 18, user: 'somebody' })
      const ends = () => outpost.frames.filter(frame => frame.instruction === instruction.sessionEnd)
      await until(() => ends().length === 2)
      const bySession = ends().find(frame => frame.args.session_id === session_id)!
      assert.equal(bySession.args.type, 'event.session.end')
      const byUser = ends().find(frame => frame.args.user === 'somebody')!
      assert.equal(byUser.args.session_id, '')
      assert.equal(
        outpost.frames.some(frame => frame.instruction === instruction.ack),
        false,
      )
    })

    test('what the outpost sends reaches Core unchanged and in order', async t => {
      const { link, receivedFrames } = await open(t)
      const outpost = recordingOutpost(0)
      assert.equal(link.send({ instruction: 3, args: {} }), false, 'not open yet')
      link.open(await link.instance(), outpost.handlers)
      await until(() => outpost.connects === 1)
      const receipts = [1, 2, 3].map(id => ({ sub_type: 'session_end.applied', id, ms: id * 10 }))
      for (const args of receipts)
        assert.equal(link.send({ instruction: instruction.providerSpecific, args }), true)
      const specific = async () =>
        (await receivedFrames()).filter(frame => frame.instruction === instruction.providerSpecific)
      await until(async () => (await specific()).length === 3)
      assert.deepEqual(
        (await specific()).map(frame => frame.args),
        receipts,
      )
    })

    test('a closed link sends nothing, hears nothing and can be closed again', async t => {
      const fixture = await open(t)
      const { link } = fixture
      const outpost = recordingOutpost(0)
      link.open(await link.instance(), outpost.handlers)
      await until(() => outpost.connects === 1)
      await link.close()
      const heard = outpost.frames.length
      assert.equal(link.send({ instruction: 3, args: {} }), false)
      await fixture.pushUpdate()
      await link.close()
      assert.equal(outpost.frames.length, heard)
      assert.equal(outpost.connects, 1)
    })

    test('a handler that throws does not end the link', async t => {
      const fixture = await open(t)
      const outpost = recordingOutpost(0)
      let calls = 0
      fixture.link.open(await fixture.link.instance(), {
        ...outpost.handlers,
        onFrame: frame => {
          outpost.handlers.onFrame(frame)
          calls++
          throw new Error('the handler is broken')
        },
      })
      await until(() => outpost.connects === 1)
      await fixture.pushSessionEnd({ session_id: 'cd'.repeat(32), id: 1 })
      await until(() => calls === 1)
      await fixture.pushSessionEnd({ session_id: 'ef'.repeat(32), id: 2 })
      await until(() => calls === 2)
    })
  })
}

/** An outpost's end of the link, which keeps what it was told. */
export function recordingOutpost(revision: number) {
  const hello: HelloArgs = {
    ...{
      version: '1.2.3',
      buildHash: '',
      uuid: '0b7e1f6a-1111-4222-8333-944455556666',
      golangVersion: 'node 24',
    },
    ...{ opensslEnabled: true, opensslVersion: '3.5', fipsEnabled: false, hostname: 'here' },
    ...{ features: ['session_end.receipts'], revision, last_revocation: 0 },
  }
  const recorded = { frames: [] as Frame[], connects: 0, disconnects: 0 }
  const handlers: LinkHandlers = {
    hello: () => hello,
    onFrame: frame => recorded.frames.push(frame),
    onConnect: () => {
      recorded.connects++
    },
    onDisconnect: () => {
      recorded.disconnects++
    },
  }
  return Object.assign(recorded, { handlers })
}

/** Waits until it holds; fails after half a minute. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!(await condition())) {
    if (performance.now() > deadline) assert.fail(`never came true: ${condition}`)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

function plain(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase()
}
