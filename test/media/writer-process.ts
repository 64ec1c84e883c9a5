// Saves one file after another until it is killed: `node writer-process.ts <folder>`. A line of output per saved file.
import { randomBytes } from 'node:crypto'
import { contentAddress } from '../../src/core/media/names.ts'
import { createMediaStore } from '../../src/core/media/store.ts'

const store = createMediaStore(process.argv[2] ?? '')
for (;;) {
  const bytes = Buffer.alloc(2_000_000, randomBytes(1000))
  const address = contentAddress(bytes, 'png')
  const staged = await store.stage(address, bytes)
  await staged.publish()
  process.stdout.write(`${address}\n`)
}
