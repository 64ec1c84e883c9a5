// One server process as far as connected outposts go: the listener and the hub, over a database in which an outpost has an account.
import { randomUUID } from 'node:crypto'
import { ensureInstallation } from '../src/core/installation/installation.sql.ts'
import { createOutpost, outpostToken } from '../src/core/outposts/account.ts'
import { createHub } from '../src/core/outposts/hub.ts'
import { answerOnSocket } from '../src/http/errors.ts'
import type { PgTarget } from '../src/pg/target.ts'
import { bareCore, listen, secrets } from '../test/core/bare-core.ts'
import { serveBench } from './bench-process.ts'
import { startPgNode } from './pg-node.ts'

export interface HubAbout {
  /** of the WebSocket, with the query to be added */
  url: string
  key: string
}

/** As many connections as a server has. */
const poolSize = 10

await serveBench<{ target: PgTarget }, HubAbout>(async ({ target }) => {
  const node = await startPgNode(target, 'bench hub', poolSize)
  const { id: installationId } = await ensureInstallation(node.db, randomUUID(), secrets.fingerprint)
  const core = bareCore(node.db, { bus: node.bus, installationId })
  const hub = createHub(core)
  const outpost = await node.db.transaction(tx =>
    createOutpost(tx, core, { name: 'bench', type: 'proxy', providers: [], config: {} }),
  )
  const key = await outpostToken(node.db, core, outpost.id)
  const server = await listen()
  server.on('upgrade', (request, socket, head) => {
    if (!hub.handleUpgrade(request, socket, head)) answerOnSocket(socket, 404)
  })
  // The pool as large as it gets, so that what sockets cost is not mixed up with it.
  await Promise.all(Array.from({ length: poolSize }, () => node.db.ping()))
  const address = server.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  return {
    about: { url: `ws://127.0.0.1:${port}/ws/outpost/${outpost.id}/`, key },
    async close() {
      await hub.close()
      server.closeAllConnections()
      server.close()
      await node.close()
    },
  }
})
