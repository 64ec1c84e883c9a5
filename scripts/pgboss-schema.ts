// Writes migrations/pgboss.sql: the tables of pg-boss as it installs them, as part of our migrations, so that no running process
// changes tables. To be run once per new installation text; what is already applied is changed by a new migration only, whose
// statements `getMigrationPlans` of pg-boss gives.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { installationSql } from '../src/pg/tasks/installation.ts'

await writeFile(join(import.meta.dirname, '../migrations/pgboss.sql'), installationSql())
