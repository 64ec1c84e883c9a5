import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from '../../src/pg/db.ts'
import { png, startCore } from './start-core.ts'

test('an application with the name of a file shows the file, themed where the name says so', async t => {
  const { admin } = await startCore(t)
  const url = async (name: string) => String((await admin.upload(png(name), { name })).body.url)
  const plain = await url('plain.png')
  const [light, dark] = [await url('logo-light.png'), await url('logo-dark.png')]
  const made = await admin.ask('POST', '/core/applications/', {
    name: 'App',
    slug: 'app',
    meta_icon: 'plain.png',
  })
  const icon = (body: Record<string, unknown>) => [
    body.meta_icon,
    body.meta_icon_url,
    body.meta_icon_themed_urls,
  ]
  assert.deepEqual(icon(made.body), ['plain.png', plain, null])

  const patch = async (meta_icon: string) =>
    icon((await admin.ask('PATCH', '/core/applications/app/', { meta_icon })).body)
  assert.deepEqual(await patch('logo-%(theme)s.png'), ['logo-%(theme)s.png', light, { light, dark }])
  assert.deepEqual(await patch('none.png'), ['none.png', '/media/public/none.png', null])
  assert.deepEqual(await patch('fa://fa-home'), ['fa://fa-home', 'fa://fa-home', null])
  assert.deepEqual(await patch('https://cdn.example/a.png'), [
    'https://cdn.example/a.png',
    'https://cdn.example/a.png',
    null,
  ])
  assert.deepEqual(await patch(''), ['', null, null])
  for (const meta_icon of ['../a.png', 'javascript:alert(1)', '//evil.example/a.png'])
    assert.equal((await admin.ask('PATCH', '/core/applications/app/', { meta_icon })).status, 400, meta_icon)
})

test('icons cost the list of applications no further statement', async t => {
  const { admin, database } = await startCore(t)
  await admin.upload(png('a'), { name: 'a.png' })
  const listed = async () => {
    let urls: unknown[] = []
    const statements = await database.countStatements(async () => {
      const { body } = await admin.ask('GET', '/core/applications/')
      urls = (body.results as { meta_icon_url: unknown }[]).map(row => row.meta_icon_url)
    })
    return { urls, count: statements.filter(text => !text.includes('last_used_at')).length }
  }
  await admin.ask('POST', '/core/applications/', { name: 'A', slug: 'a' })
  const without = await listed()
  for (const slug of ['b', 'c', 'd'])
    await admin.ask('POST', '/core/applications/', { name: slug, slug, meta_icon: 'a.png' })
  const withIcons = await listed()
  assert.equal(withIcons.urls.filter(url => String(url).startsWith('/media/public/')).length, 3)
  assert.equal(withIcons.count, without.count)
})

test('the logo, the icon and the background of a brand reach its pages and its flows', async t => {
  const core = await startCore(t)
  const { admin, origin, database } = core
  const upload = async (name: string) => String((await admin.upload(png(name), { name })).body.url)
  const [light, dark] = [await upload('logo-light.png'), await upload('logo-dark.png')]
  const [icon, wall, night] = [
    await upload('icon.png'),
    await upload('wall-light.png'),
    await upload('wall-dark.png'),
  ]
  const images = {
    branding_logo: 'logo-%(theme)s.png',
    branding_favicon: 'icon.png',
    branding_default_flow_background: 'wall-%(theme)s.png',
  }
  const brand = await admin.ask('POST', '/core/brands/', { domain: 'all', default: true, ...images })
  assert.equal(brand.status, 201, JSON.stringify(brand.body))
  assert.equal(brand.body.branding_logo, images.branding_logo)

  const current = (await core.as('').ask('GET', '/core/brands/current/')).body
  assert.deepEqual(
    [
      current.branding_logo,
      current.branding_logo_themed_urls,
      current.branding_favicon,
      current.branding_favicon_themed_urls,
    ],
    [light, { light, dark }, icon, null],
  )

  await database.db.count(sql`
    with flow as (
      insert into flows (slug, name, title, designation) values ('in', 'in', 'In', 'authentication') returning id
    ), stage as (insert into stages (type, name, config) values ('deny', 'deny', '{}') returning id)
    insert into flow_stage_bindings (flow_id, stage_id, "order") select flow.id, stage.id, 0 from flow, stage`)
  const page = async () => {
    const html = await (await fetch(`${origin}/if/flow/in/`)).text()
    const data = /<script type="application\/json" id="postern"[^>]*>(.*?)<\/script>/s.exec(html)?.[1] ?? ''
    const shown = JSON.parse(data).brand as Record<string, unknown>
    return { icon: /<link rel="icon" href="([^"]*)"/.exec(html)?.[1], shown }
  }
  const first = await page()
  assert.equal(first.icon, icon)
  assert.deepEqual(
    [first.shown.branding_logo, first.shown.branding_favicon, first.shown.default_flow_background],
    [light, icon, wall],
  )
  const pk = String(brand.body.brand_uuid)
  const attributes = { settings: { theme: { base: 'dark' } } }
  assert.equal((await admin.ask('PATCH', `/core/brands/${pk}/`, { attributes })).status, 200)
  assert.equal((await page()).shown.branding_logo, dark)

  const challenge = await fetch(`${origin}/api/v3/flows/executor/in/`)
  const { flow_info: info } = (await challenge.json()) as { flow_info: Record<string, unknown> }
  assert.deepEqual([info.background, info.background_themed_urls], [wall, { light: wall, dark: night }])

  for (const field of Object.keys(images))
    for (const bad of ['../a.png', '//evil.example/a.png', 'javascript:alert(1)', '/\\evil.example'])
      assert.equal((await admin.ask('PATCH', `/core/brands/${pk}/`, { [field]: bad })).status, 400, bad)
  assert.equal((await admin.ask('PATCH', `/core/brands/${pk}/`, { branding_logo: '' })).status, 200)
  const plain = (await core.as('').ask('GET', '/core/brands/current/')).body
  assert.deepEqual([plain.branding_logo, plain.branding_logo_themed_urls], ['', null])
})
