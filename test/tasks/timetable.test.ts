// When schedules are due, by pure functions.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dueRuns, jitterMs, nextTimes, ScheduleError } from '../../src/pg/tasks/timetable.ts'

const berlin = 'Europe/Berlin'
const texts = (times: Date[]) => times.map(time => time.toISOString().slice(0, 16))

test('times are those of the zone, over the change of summer time too', () => {
  const march = new Date('2026-03-28T12:00:00Z')
  assert.deepEqual(texts(nextTimes('30 8 * * *', berlin, march, 2)), ['2026-03-29T06:30', '2026-03-30T06:30'])
  // 2:30 does not exist on the 29th: it comes right after the gap. On 25 October it exists twice, and comes once.
  assert.deepEqual(texts(nextTimes('30 2 * * *', berlin, march, 2)), ['2026-03-29T01:30', '2026-03-30T00:30'])
  const october = new Date('2026-10-24T12:00:00Z')
  assert.deepEqual(texts(nextTimes('30 2 * * *', berlin, october, 2)), [
    '2026-10-25T00:30',
    '2026-10-26T01:30',
  ])
  const night = new Date('2026-10-24T23:50:00Z')
  assert.deepEqual(texts(nextTimes('*/30 * * * *', berlin, night, 4)), [
    '2026-10-25T00:00',
    '2026-10-25T00:30',
    '2026-10-25T01:00',
    '2026-10-25T01:30',
  ])
})

test('a text that is no schedule is refused with the reason', () => {
  assert.throws(() => nextTimes('30 8 * * *', 'Europe/Nowhere'), ScheduleError)
  assert.throws(() => nextTimes('* * * * * *', 'UTC'), ScheduleError)
  assert.throws(() => nextTimes('61 * * * *', 'UTC'), ScheduleError)
})

const hourly = { crontab: '0 * * * *', timezone: 'UTC' }
const at = (text: string) => new Date(`2026-05-01T${text}:00Z`)

test('a time that has not come is waited for, one that has is run and followed by the next', () => {
  for (const catchUp of ['none', 'once', 'all'] as const) {
    const schedule = { ...hourly, catchUp, nextRunAt: at('10:00') }
    assert.deepEqual(dueRuns(schedule, new Date(at('10:00').getTime() - 1)), { runs: [], next: at('10:00') })
    const now = new Date(at('10:00').getTime() + 800)
    assert.deepEqual(dueRuns(schedule, now), { runs: [at('10:00')], next: at('11:00') })
  }
})

test('missed times are forgotten, made good once, or made good each, as the schedule says', () => {
  const missed = (catchUp: 'none' | 'once' | 'all', now: Date) =>
    dueRuns({ ...hourly, catchUp, nextRunAt: at('05:00') }, now)
  const now = at('09:20')
  assert.deepEqual(missed('none', now), { runs: [], next: at('10:00') })
  assert.deepEqual(missed('once', now), { runs: [at('05:00')], next: at('10:00') })
  assert.deepEqual(missed('all', now), {
    runs: [at('05:00'), at('06:00'), at('07:00'), at('08:00'), at('09:00')],
    next: at('10:00'),
  })
  // The newest of the missed is not late yet.
  const soonAfter = new Date(at('09:00').getTime() + 30_000)
  assert.deepEqual(missed('none', soonAfter), { runs: [at('09:00')], next: at('10:00') })
})

test('a great many missed times are made good in parts', () => {
  const schedule = { crontab: '* * * * *', timezone: 'UTC', catchUp: 'all' as const }
  const now = at('09:00')
  let nextRunAt = at('05:00')
  const counts: number[] = []
  const seen = new Set<string>()
  while (nextRunAt <= now) {
    const { runs, next } = dueRuns({ ...schedule, nextRunAt }, now)
    counts.push(runs.length)
    for (const run of runs) seen.add(run.toISOString())
    nextRunAt = next
  }
  assert.deepEqual(counts, [100, 100, 41])
  assert.equal(seen.size, 241)
  assert.equal(nextRunAt.getTime(), at('09:01').getTime())
})

test('jitter never exceeds a twentieth of the period', () => {
  const from = at('10:00')
  assert.equal(
    jitterMs({ ...hourly, jitterSeconds: 0 }, from, () => 1),
    0,
  )
  assert.equal(
    jitterMs({ ...hourly, jitterSeconds: 60 }, from, () => 0.5),
    30_000,
  )
  assert.equal(
    jitterMs({ ...hourly, jitterSeconds: 3600 }, from, () => 1),
    180_000,
  )
})
