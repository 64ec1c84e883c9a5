import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { AdminApi, Configuration } from '@goauthentik/api'
import { newCsrfValue } from '../../src/core/csrf.ts'
import { newSessionKey } from '../../src/core/sessions/cookie.ts'
import { insertSession } from '../../src/core/sessions/sessions.sql.ts'
import { sql } from '../../src/pg/db.ts'
import { publishedSchema } from '../api/published-schema.ts'
import { filesIn, png, startCore, type TestCore } from './start-core.ts'

async function events({ core: { db } }: TestCore): Promise<unknown[]> {
  const rows = await db.rows<{ action: string; model: { pk: string }; user: string }>(sql`
    select action, context -> 'model' as model, "user" ->> 'username' as user from ${db.t('events')}
    where context -> 'model' ->> 'model_name' = 'file' order by created_at, id`)
  return rows.map(row => [row.action, row.model.pk, row.user])
}

test('an uploaded file is on the disk under the hash of its content, listed, and there for anybody', async t => {
  const core = await startCore(t)
  const file = png('a')
  const bytes = Buffer.from(await file.arrayBuffer())
  const digest = hash('sha256', bytes)
  const address = `${digest.slice(0, 2)}/${digest}.png`
  const made = await core.admin.upload(file, { name: 'icons/a.png', usage: 'media' })
  const body = {
    name: 'icons/a.png',
    mime_type: 'image/png',
    url: `/media/public/${address}`,
    themed_urls: null,
  }
  assert.deepEqual([made.status, made.body], [200, body])
  assert.deepEqual(await filesIn(core.directory), [address])
  assert.deepEqual((await core.admin.ask('GET', '/admin/file/')).body, [body])
  assert.deepEqual((await core.admin.ask('GET', '/admin/file/?search=ICONS')).body, [body])
  assert.deepEqual((await core.admin.ask('GET', '/admin/file/?search=other')).body, [])
  const served = await fetch(core.origin + body.url)
  assert.deepEqual(Buffer.from(await served.arrayBuffer()), bytes)
  assert.deepEqual(await events(core), [['model_created', 'icons/a.png', 'akadmin']])
})

test('a file without a name gets one from its own, and an extension', async t => {
  const { admin } = await startCore(t)
  const named = async (filename: string, fields = {}) =>
    (await admin.upload(png(filename), fields, filename)).body.name
  assert.equal(await named('C:\\My Löves\\logo 1.png'), 'logo-1.png')
  assert.equal(await named('../../../etc/passwd'), 'passwd.png')
  assert.equal(await named('ignored.png', { name: 'brand/logo' }), 'brand/logo.png')
  assert.equal(await named('…'), 'image.png')
})

test('a bad name, a bad type and a bad form are refused with the field they are about', async t => {
  const { admin, directory, origin } = await startCore(t)
  const field = async (answer: Promise<{ status: number; body: Record<string, unknown> }>) => {
    const { status, body } = await answer
    assert.equal(body.code, 'invalid')
    return [status, ...Object.keys(body).filter(key => key !== 'code')]
  }
  for (const name of [
    '../a.png',
    '/a.png',
    '.a.png',
    'a//b.png',
    'a b.png',
    'a\0.png',
    'x-%(theme)s.png',
    `${'a'.repeat(256)}.png`,
  ])
    assert.deepEqual(await field(admin.upload(png('a'), { name })), [400, 'name'], name)
  for (const content of [
    '',
    '<html></html>',
    '#!/bin/sh',
    '<svg xmlns="http://www.w3.org/2000/svg" onload="x()"/>',
  ])
    assert.deepEqual(await field(admin.upload(new Blob([content]), {}, 'a.png')), [400, 'file'], content)
  assert.deepEqual(await field(admin.upload(png('a'), { usage: 'reports' })), [400, 'usage'])
  assert.deepEqual(await field(admin.upload(undefined, { name: 'a.png' })), [400, 'file'])
  assert.deepEqual(await field(admin.ask('POST', '/admin/file/', { name: 'a.png' })), [400, 'file'])
  const broken = await fetch(`${origin}/api/v3/admin/file/`, {
    method: 'POST',
    headers: { authorization: `Bearer ${admin.key}`, 'content-type': 'multipart/form-data; boundary=x' },
    body: '--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nhalf of it',
  })
  assert.equal(broken.status, 400)
  assert.deepEqual(await filesIn(directory), [])
})

test('a file may have five mebibytes and not one byte more', async t => {
  const { admin, directory } = await startCore(t)
  const limit = 5 * 1024 * 1024
  const over = await admin.upload(png('a', limit + 1), {})
  assert.deepEqual([over.status, Object.keys(over.body).sort()], [400, ['code', 'file']])
  assert.deepEqual(await filesIn(directory), [])
  assert.equal((await admin.upload(png('a', limit), {})).status, 200)
})

test('who may view may not change, who may change need not be a superuser, anybody else may do neither', async t => {
  const core = await startCore(t)
  const viewer = await core.person('viewer', ['authentik_rbac.view_media_files'])
  const manager = await core.person('manager', ['authentik_rbac.manage_media_files'])
  const nobody = await core.person('nobody', [])
  const rights = async (person: typeof viewer) => [
    (await person.ask('GET', '/admin/file/')).status,
    (await person.upload(png('a'), { name: 'a.png' })).status,
    (await person.ask('GET', '/admin/file/used_by/?name=a.png')).status,
    (await person.ask('DELETE', '/admin/file/?name=a.png')).status,
  ]
  assert.deepEqual(await rights(manager), [403, 200, 403, 200])
  await core.admin.upload(png('a'), { name: 'a.png' })
  assert.deepEqual(await rights(viewer), [200, 403, 200, 403])
  assert.deepEqual(await rights(nobody), [403, 403, 403, 403])
  assert.deepEqual(await rights(core.as('')), [403, 403, 403, 403])
})

test('an upload from a page of another site is refused, one of ours is not', async t => {
  const core = await startCore(t)
  const { value, keyHash } = newSessionKey()
  const admin = await core.database.db.first<{ id: number }>(
    sql`select id from users where username = 'akadmin'`,
  )
  await insertSession(core.database.db, {
    id: crypto.randomUUID(),
    keyHash,
    userId: admin!.id,
    expiresAt: new Date(Date.now() + 3_600_000),
    ip: '127.0.0.1',
    userAgent: '',
    authMethod: 'password',
    authArgs: {},
    authAt: new Date(),
  })
  const csrf = newCsrfValue(core.core.secrets, keyHash)
  const post = async (headers: Record<string, string>) => {
    const form = new FormData()
    form.append('file', png('a'), 'a.png')
    const cookie = `authentik_session=${value}; authentik_csrf=${csrf}`
    const init = { method: 'POST', headers: { cookie, ...headers }, body: form }
    return (await fetch(`${core.origin}/api/v3/admin/file/`, init)).status
  }
  assert.equal(await post({ origin: core.origin }), 403)
  assert.equal(await post({ origin: 'https://evil.example', 'x-authentik-csrf': csrf }), 403)
  assert.equal(await post({ origin: core.origin, 'x-authentik-csrf': csrf }), 200)
})

test('a name is given once: the same file again is no error, another one is', async t => {
  const core = await startCore(t)
  const first = await core.admin.upload(png('a'), { name: 'a.png' })
  const again = await core.admin.upload(png('a'), { name: 'a.png' })
  assert.deepEqual([again.status, again.body], [200, first.body])
  const other = await core.admin.upload(png('b'), { name: 'a.png' })
  assert.deepEqual([other.status, Object.keys(other.body).sort()], [400, ['code', 'name']])
  assert.equal((await filesIn(core.directory)).length, 1)
  assert.deepEqual(await events(core), [['model_created', 'a.png', 'akadmin']])
})

test('a file goes with the last name it has', async t => {
  const core = await startCore(t)
  const { body } = await core.admin.upload(png('a'), { name: 'a.png' })
  await core.admin.upload(png('a'), { name: 'b.png' })
  const served = async () => (await fetch(core.origin + String(body.url))).status
  assert.equal((await core.admin.ask('DELETE', '/admin/file/?name=a.png')).status, 200)
  assert.equal(await served(), 200)
  assert.equal((await core.admin.ask('DELETE', '/admin/file/?name=b.png&usage=media')).status, 200)
  assert.equal(await served(), 404)
  assert.deepEqual(await filesIn(core.directory), [])
  assert.equal((await core.admin.ask('DELETE', '/admin/file/?name=b.png')).status, 404)
  assert.equal((await core.admin.ask('DELETE', '/admin/file/?name=%00')).status, 404)
  assert.deepEqual(
    (await events(core)).map(event => (event as string[])[0]),
    ['model_created', 'model_created', 'model_deleted', 'model_deleted'],
  )
})

test('who uses a file is told, as far as the caller may view it', async t => {
  const core = await startCore(t)
  await core.admin.upload(png('a'), { name: 'logo-dark.png' })
  await core.admin.ask('POST', '/core/brands/', { domain: 'a.example', branding_logo: 'logo-%(theme)s.png' })
  await core.admin.ask('POST', '/core/brands/', { domain: 'b.example', branding_favicon: 'other.png' })
  await core.admin.ask('POST', '/core/applications/', {
    name: 'App',
    slug: 'app',
    meta_icon: '/media/public/logo-dark.png',
  })
  const usedBy = async (person: typeof core.admin) => {
    const { body } = await person.ask('GET', '/admin/file/used_by/?name=logo-dark.png')
    return (body as unknown as { model_name: string; name: string; action: string }[]).map(row => [
      row.model_name,
      row.name,
      row.action,
    ])
  }
  const application = ['application', 'App', 'left_dangling']
  assert.deepEqual(await usedBy(core.admin), [application, ['brand', 'a.example', 'left_dangling']])
  const view = ['authentik_rbac.view_media_files', 'authentik_core.view_application']
  assert.deepEqual(await usedBy(await core.person('viewer', view)), [application])
})

test('where files cannot be saved, clients are told before and told why after', async t => {
  const core = await startCore(t)
  const capabilities = async (replica: { origin: string }) => {
    const response = await fetch(`${replica.origin}/api/v3/root/config/`)
    return ((await response.json()) as { capabilities: string[] }).capabilities
  }
  assert.deepEqual(await capabilities(core), ['can_save_media'])
  const file = join(core.directory, 'not-a-folder')
  await writeFile(file, '')
  for (const directory of ['', join(file, 'media')]) {
    const replica = await core.replica(directory)
    assert.deepEqual(await capabilities(replica), [])
    const { status, body } = await replica.as(core.admin.key).upload(png('a'), {})
    assert.deepEqual([status, body.code], [503, 'media_not_writable'])
    assert.match(String(body.detail), /AUTHENTIK_STORAGE__MEDIA__FILE__PATH/)
    assert.deepEqual((await core.admin.ask('GET', '/admin/file/')).body, [])
  }
})

test('the official client uploads, lists, asks and deletes', async t => {
  const core = await startCore(t)
  const published = await publishedSchema()
  const seen: string[] = []
  const api = new AdminApi(
    new Configuration({
      basePath: `${core.origin}/api/v3`,
      accessToken: core.admin.key,
      middleware: [
        {
          async post({ url, init, response }) {
            const path = new URL(url).pathname.slice('/api/v3'.length)
            const method = init.method ?? 'GET'
            const text = await response.clone().text()
            const body = text === '' ? undefined : JSON.parse(text)
            assert.deepEqual(published.problems(method, path, response.status, body), [])
            seen.push(`${method} ${path} ${response.status}`)
          },
        },
      ],
    }),
  )
  await api.adminFileCreate({ file: png('a'), name: 'icons/a.png' })
  await core.admin.ask('POST', '/core/applications/', { name: 'App', slug: 'app', meta_icon: 'icons/a.png' })
  const files = await api.adminFileList({ usage: 'media', manageableOnly: true, search: 'a' })
  assert.deepEqual(
    files.map(file => [file.name, file.mimeType]),
    [['icons/a.png', 'image/png']],
  )
  const users = await api.adminFileUsedByList({ name: 'icons/a.png' })
  assert.deepEqual(
    users.map(user => [user.modelName, user.name]),
    [['application', 'App']],
  )
  await api.adminFileDestroy({ name: 'icons/a.png', usage: 'media' })
  assert.deepEqual(await api.adminFileList(), [])
  assert.equal(seen.length, 5)
})

test('the upload is in the API document, with its form', async t => {
  const { origin } = await startCore(t)
  const response = await fetch(`${origin}/api/v3/schema/?format=json`)
  const document = (await response.json()) as {
    paths: Record<string, Record<string, { requestBody?: { content: Record<string, unknown> } }>>
  }
  const { post } = document.paths['/admin/file/']!
  assert.deepEqual(Object.keys(post!.requestBody!.content), ['multipart/form-data'])
})
