import assert from 'node:assert/strict'
import { test } from 'node:test'
import { replaced } from '../../bench/document.ts'
import { judged } from '../../bench/figure.ts'
import { barPicture, linePicture } from '../../bench/plot.ts'

test('a benchmark writes its own part of the page and leaves all others as they are', () => {
  const page =
    'before\n<!-- a -->\nold a\n<!-- end of a -->\nbetween\n<!-- ab -->\nold ab\n<!-- end of ab -->\nafter\n'
  assert.equal(replaced(page, 'a', 'new'), page.replace('old a\n', 'new\n'))
  assert.equal(replaced(page, 'ab', 'new'), page.replace('old ab\n', 'new\n'))
  assert.equal(replaced(replaced(page, 'a', 'new'), 'a', 'old a'), page)
})

test('a benchmark without a part is added at the end, once', () => {
  const once = replaced('# Page\n', 'new', 'text')
  assert.match(once, /^# Page\n\n## new\n\n<!-- new -->\ntext\n<!-- end of new -->\n$/)
  assert.equal(replaced(once, 'new', 'text'), once)
})

test('a goal is judged by the value that is shown', () => {
  const about = { name: 'x', unit: 'ratio' }
  assert.equal(judged({ ...about, value: 0.5996, goal: '>= 0.6' }).ok, true)
  assert.equal(judged({ ...about, value: 0.59, goal: '>= 0.6' }).ok, false)
  assert.equal(judged({ ...about, value: 0, goal: '<= 0' }).ok, true)
  assert.equal(judged({ ...about, value: Number.NaN, goal: '<= 1' }).ok, false)
  assert.throws(() => judged({ ...about, value: 1, goal: 'about 1' }), TypeError)
})

test('a picture has a place for every value, keeps to its edges, and no text can break it', () => {
  const lines = linePicture({
    ...{ title: 'a < b & "c"', across: 'minutes' },
    panels: [
      {
        title: 'one',
        unit: 'MiB',
        lines: [
          {
            label: '<i>',
            points: [
              [0, 0],
              [1, 5],
              [2, 1],
            ],
          },
        ],
      },
      { title: 'nothing', unit: 'MiB', lines: [{ label: 'empty', points: [] }] },
    ],
  })
  const bars = barPicture({
    title: 'rates',
    panels: [
      { title: 'get', unit: '1/s', bars: [1, 0, 1_500_000].map(value => ({ label: 'x', value, series: 0 })) },
    ],
  })
  assert.ok(!lines.includes('<i>'))
  assert.match(lines, /a &lt; b &amp; &quot;c&quot;/)
  for (const svg of [lines, bars]) {
    const [width = 0, height = 0] = (/viewBox="0 0 (\d+) (\d+)"/.exec(svg) ?? []).slice(1).map(Number)
    assert.ok(width > 0 && height > 0)
    assert.doesNotMatch(svg, /NaN|Infinity|undefined/)
    for (const [, points = ''] of svg.matchAll(/points="([^"]*)"/g))
      for (const [x = 0, y = 0] of points
        .split(' ')
        .filter(Boolean)
        .map(pair => pair.split(',').map(Number)))
        assert.ok(x >= 0 && x <= width && y >= 0 && y <= height, points)
  }
  assert.match(bars, />1\.5M</)
})
