// Proxy providers, their rows and sessions, as tests make them and look at them.
import assert from 'node:assert/strict'
import { sha256 } from '../../src/core/secrets.ts'
import { sql } from '../../src/pg/db.ts'
import type { TestCore } from './start-core.ts'

export async function create(core: TestCore, name: string, more?: Record<string, unknown>): Promise<number> {
  const made = await core.admin.ask('POST', '/providers/proxy/', core.proxy(name, more))
  assert.equal(made.status, 201, JSON.stringify(made.body))
  return made.body.pk as number
}

export async function stored(core: TestCore, id: number): Promise<Record<string, unknown>> {
  const { db } = core.database
  const row = await db.first<Record<string, unknown>>(sql`
    select o.*, x.cookie_secret_sealed from ${db.t('oauth2_providers')} o join ${db.t('proxy_providers')} x using (provider_id)
    where provider_id = ${id}`)
  return row!
}

export async function addSession(core: TestCore, clientId: unknown): Promise<void> {
  const { db } = core.database
  await db.count(sql`
    insert into ${db.t('proxy_sessions')} (key_hash, client_id, user_hash, sealed, created_at, expires_at)
    values (${sha256(String(clientId))}, ${clientId}, ${sha256('user')}, ${sha256('sealed')}, now(), now() + interval '1 hour')`)
}

export async function sessions(core: TestCore): Promise<number> {
  const { db } = core.database
  return (await db.rows(sql`select 1 from ${db.t('proxy_sessions')}`)).length
}

export async function permissionsOf(core: TestCore, outpost: string): Promise<string[]> {
  const { db } = core.database
  const found = await db.rows<{ permission: string }>(sql`
    select rp.permission from ${db.t('role_permissions')} rp join ${db.t('roles')} r on r.id = rp.role_id
    where r.managed like ${`%${outpost}`} and rp.object_id is not null order by 1`)
  return found.map(row => row.permission)
}
