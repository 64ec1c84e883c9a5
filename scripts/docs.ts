// Writes the documents that repeat code: `npm run docs`. `npm run check` compares them with what is committed.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { settingsPage } from '../src/settings/help.ts'

export interface GeneratedDoc {
  /** relative to the repository */
  file: string
  text(): string | Promise<string>
}

const root = join(import.meta.dirname, '..')

/** Every generated document; a new one is a new line here. */
export const generatedDocs: readonly GeneratedDoc[] = [{ file: 'docs/settings.md', text: settingsPage }]

/** Names of the documents that differ from what the code says now. */
export async function staleDocs(): Promise<string[]> {
  const stale: string[] = []
  for (const { file, text } of generatedDocs) if (readCommitted(file) !== (await text())) stale.push(file)
  return stale
}

function readCommitted(file: string): string | undefined {
  try {
    return readFileSync(join(root, file), 'utf8')
  } catch {
    return undefined
  }
}

if (import.meta.main) {
  for (const file of await staleDocs()) {
    const doc = generatedDocs.find(one => one.file === file)
    if (doc === undefined) continue
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), await doc.text())
    process.stdout.write(`wrote ${file}\n`)
  }
}
