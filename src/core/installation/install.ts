// The first start: who this installation is, its default objects, its first administrator. Several processes may start at once
// (one transaction under a lock); what exists is never overwritten, what an administrator deleted is not created again.
import { randomUUID, timingSafeEqual } from 'node:crypto'
import type { Log } from '../../log.ts'
import type { Db, Tx } from '../../pg/db.ts'
import { lockInTx } from '../../pg/lock.ts'
import type { Secrets } from '../secrets.ts'
import { sha256 } from '../secrets.ts'
import type { Passwords } from '../users/passwords.ts'
import { administrator } from './administrator.ts'
import { createDefaults, prepareDefaults } from './defaults.ts'
import {
  completeSetup,
  ensureInstallation,
  findUserId,
  insertBootstrapToken,
  setDefaultsVersion,
  setInitialPassword,
} from './installation.sql.ts'

const defaultsVersion = 1

/** From the environment; read only while nobody has set a password. */
export interface Bootstrap {
  password?: string
  /** PHC string, instead of `password` */
  passwordHash?: string
  token?: string
  email?: string
}

export interface Installation {
  id: string
  /** true when this very start created it */
  created: boolean
  setupCompleted: boolean
}

/** The database belongs to another secret key, or the bootstrap values contradict each other. */
export class InstallationError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'InstallationError'
  }
}

/** @throws InstallationError with one line that says what to do */
export async function install(deps: {
  db: Db
  secrets: Secrets
  passwords: Passwords
  bootstrap: Bootstrap
  log: Log
}): Promise<Installation> {
  const { db, secrets, bootstrap } = deps
  if (bootstrap.password !== undefined && bootstrap.passwordHash !== undefined)
    throw new InstallationError(
      'set AUTHENTIK_BOOTSTRAP_PASSWORD or AUTHENTIK_BOOTSTRAP_PASSWORD_HASH, not both',
    )
  const found = await ensureInstallation(db, randomUUID(), secrets.fingerprint)
  if (!timingSafeEqual(found.secret_key_fingerprint, secrets.fingerprint))
    throw new InstallationError(
      'AUTHENTIK_SECRET_KEY is not the key this database was set up with: restore the former key, or point AUTHENTIK_POSTGRESQL__NAME at another database',
    )
  const upToDate = found.defaults_version >= defaultsVersion
  if (upToDate && found.setup_completed) return { id: found.id, created: found.created, setupCompleted: true }
  // Keys are generated and passwords hashed before the transaction, which is kept short.
  const prepared = upToDate ? undefined : await prepareDefaults(secrets)
  const hash = found.setup_completed ? undefined : await bootstrapHash(deps.passwords, bootstrap)
  const setupCompleted = await db.transaction(async tx => {
    await lockInTx(tx, 'setup', 'defaults')
    const now = await ensureInstallation(tx, found.id, secrets.fingerprint)
    if (prepared !== undefined && now.defaults_version < defaultsVersion) {
      await createDefaults(tx, found.id, prepared)
      await setDefaultsVersion(tx, defaultsVersion)
    }
    return now.setup_completed || (await bootstrapAdministrator(tx, secrets, bootstrap, hash))
  })
  return { id: found.id, created: found.created, setupCompleted }
}

async function bootstrapHash(passwords: Passwords, bootstrap: Bootstrap): Promise<string | undefined> {
  return bootstrap.password === undefined ? bootstrap.passwordHash : passwords.hash(bootstrap.password)
}

/** @returns true when the set-up is completed by it */
async function bootstrapAdministrator(
  tx: Tx,
  secrets: Secrets,
  bootstrap: Bootstrap,
  hash: string | undefined,
): Promise<boolean> {
  if (bootstrap.token !== undefined) {
    const userId = await findUserId(tx, administrator)
    if (userId !== undefined)
      await insertBootstrapToken(tx, {
        userId,
        keyHash: sha256(bootstrap.token),
        keySealed: secrets.seal('token_key', bootstrap.token),
      })
  }
  if (hash === undefined) return false
  const changed = await setInitialPassword(tx, administrator, { hash, email: bootstrap.email })
  if (changed === undefined) return false
  return (await completeSetup(tx)) === 1
}
