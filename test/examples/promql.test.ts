import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readPromql } from './promql.ts'

test('metrics are told from functions, groupings, strings and durations', () => {
  const { selectors, grouping } = readPromql(
    'histogram_quantile(0.99, sum by (le, host) (rate(a_bucket{instance=~"$instance", type="app"}[$__rate_interval]))) / (time() - max(b) > 1000) or topk(5, c{}) unless on (x) d',
  )
  assert.deepEqual(
    selectors.map(one => one.metric),
    ['a_bucket', 'b', 'c', 'd'],
  )
  assert.deepEqual(selectors[0]?.matchers, [
    { label: 'instance', operator: '=~', value: '$instance' },
    { label: 'type', operator: '=', value: 'app' },
  ])
  assert.deepEqual(grouping, ['le', 'host', 'x'])
})

test('what cannot be right is refused', () => {
  for (const text of [
    'sum(a',
    'sum(a))',
    'a{b}',
    'a{b="c"',
    'rate(a[soon])',
    'nosuch(a)',
    'a{="b"}',
    'a ~ b',
  ])
    assert.throws(() => readPromql(text), text)
})
