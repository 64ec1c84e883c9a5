// A worker in a process of its own that sends mail, to be killed by a test.
import { createSecrets } from '../../src/core/secrets.ts'
import { mailActor } from '../../src/core/tasks/send-mail.ts'
import { startTaskProcess } from '../tasks/process.ts'
import { settingsFor } from './mail-server.ts'

const { target, port, secretKey, name } = JSON.parse(process.argv[2] ?? '{}')
const secrets = createSecrets(secretKey)
const running = await startTaskProcess(
  () => target,
  // What the actor uses of Core is the database of the process, which is made together with its tasks.
  [
    mailActor(
      {
        secrets,
        get db() {
          return running.db
        },
      },
      () => settingsFor(port),
    ),
  ],
  { name },
)
process.once('SIGTERM', async () => {
  await running.close()
  process.exit(0)
})
process.stdout.write('ready\n')
