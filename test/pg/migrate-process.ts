// A migrating process of its own, to be killed by a test.
import { silentLog } from '../../src/log.ts'
import { migrate } from '../../src/pg/migrate.ts'

const { target, migrations } = JSON.parse(process.argv[2] ?? '{}')
await migrate({ target, schema: 'public', migrations, appVersion: '1.0.0', log: silentLog, mode: 'apply' })
