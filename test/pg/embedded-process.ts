// A process that starts the embedded server, says so, and stops it on SIGTERM; to be killed by a test or run as another user.
import { silentLog } from '../../src/log.ts'
import { startEmbeddedPostgres } from '../../src/pg/embedded.ts'

const server = await startEmbeddedPostgres({
  dataDir: process.argv[2] ?? '',
  log: silentLog,
  settings: { fsync: 'off' },
})
process.stdout.write(`${JSON.stringify({ adopted: server.adopted, adminTarget: server.adminTarget })}\n`)
process.once('SIGTERM', async () => {
  await server.stop()
  process.exit(0)
})
setInterval(() => {}, 60_000)
