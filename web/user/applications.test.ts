import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Application,
  groupApplications,
  initialsOf,
  searchApplications,
  tileColour,
} from './applications.ts'

function application(name: string, more: Partial<Application> = {}): Application {
  return {
    pk: name,
    name,
    slug: name.toLowerCase(),
    launch_url: `https://${name.toLowerCase()}.example.com/`,
    open_in_new_tab: false,
    meta_icon_url: null,
    meta_description: '',
    meta_publisher: '',
    group: '',
    ...more,
  }
}

test('applications are grouped by name, those without a group first', () => {
  const groups = groupApplications([
    application('Wiki', { group: 'Office' }),
    application('Grafana', { group: 'Engineering' }),
    application('Mail'),
    application('Calendar', { group: 'Office' }),
  ])
  assert.deepEqual(
    groups.map(group => [group.name, group.applications.map(each => each.name)]),
    [
      ['', ['Mail']],
      ['Engineering', ['Grafana']],
      ['Office', ['Calendar', 'Wiki']],
    ],
  )
})

test('a name that begins with what was typed comes before one that only contains it', () => {
  const found = searchApplications(
    [application('Photograph'), application('My Graphs'), application('Grafana'), application('Mail')],
    'gra',
  )
  assert.deepEqual(
    found.map(each => each.name),
    ['Grafana', 'My Graphs', 'Photograph'],
  )
})

test('search ignores case and accents, and finds descriptions and skipped letters', () => {
  const all = [application('Café Büro'), application('Nextcloud', { meta_description: 'Files and photos' })]
  assert.equal(searchApplications(all, 'BURO')[0]?.name, 'Café Büro')
  assert.equal(searchApplications(all, 'photos')[0]?.name, 'Nextcloud')
  assert.equal(searchApplications(all, 'nxcl')[0]?.name, 'Nextcloud')
  assert.deepEqual(searchApplications(all, 'zzz'), [])
})

test('an empty search keeps everything', () => {
  assert.equal(searchApplications([application('A'), application('B')], '  ').length, 2)
})

test('a tile has one letter for one word and two for more', () => {
  assert.equal(initialsOf('Grafana'), 'G')
  assert.equal(initialsOf('home assistant core'), 'HA')
  assert.equal(initialsOf('  '), '?')
})

test('the colour of a tile depends on the name only', () => {
  assert.equal(tileColour('Grafana', 8), tileColour('grafana', 8))
  const seen = new Set(['Grafana', 'Wiki', 'Mail', 'Git', 'Photos', 'Vault'].map(name => tileColour(name, 8)))
  assert.ok(seen.size > 2)
})
