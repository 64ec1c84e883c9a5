// Reads the numbered SQL files of a folder.
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface Migration {
  /** Number of the file, from 1. */
  id: number
  name: string
  sql: string
}

const fileName = /^(\d{4})_([a-z0-9_]+)\.sql$/
const include = /^-- include: ([a-z0-9_]+\.sql)[ \t]*$/gm

/**
 * Migrations of a folder, in order: files `NNNN_name.sql`; a line `-- include: other.sql` stands for that file's text.
 * @throws Error when a number is missing or taken twice, or an included file is absent
 */
export async function loadMigrations(directory: string): Promise<Migration[]> {
  const files = (await readdir(directory)).filter(file => /^\d/.test(file)).sort()
  const migrations: Migration[] = []
  for (const file of files) {
    const match = fileName.exec(file)
    if (match === null) throw new Error(`migrations/${file}: the name must be NNNN_name.sql`)
    const id = Number(match[1])
    if (id !== migrations.length + 1) {
      throw new Error(
        `migrations/${file}: number ${migrations.length + 1} was expected here; numbers have no gaps`,
      )
    }
    migrations.push({ id, name: match[2] ?? '', sql: await withIncludes(directory, file) })
  }
  return migrations
}

async function withIncludes(directory: string, file: string): Promise<string> {
  const text = await readFile(join(directory, file), 'utf8')
  const names = [...text.matchAll(include)].map(match => match[1] ?? '')
  const bodies = new Map<string, string>()
  for (const name of names) bodies.set(name, await readFile(join(directory, name), 'utf8'))
  return text.replace(include, (_, name: string) => bodies.get(name) ?? '')
}

/** SHA-256 over the text of a migration, hex; what the database remembers of it. */
export function checksum(migration: Migration): string {
  return createHash('sha256').update(migration.sql).digest('hex')
}

/** A name as SQL writes it, always quoted. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
