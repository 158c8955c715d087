import t from 'tap'
import { activityOf, activitySpan, INTERVALS_MAX } from '../../src/domain/activity.js'
import { DomainError } from '../../src/domain/errors.js'

const NOW = Date.parse('2026-11-25T23:59:59Z')
const none = { active: 0, inactive: 0, suspended: 0, deleted: 0, locked: 0 }

const code = (work: () => unknown): string => {
  try {
    work()
    return 'no error'
  } catch (err) {
    return err instanceof DomainError ? err.code : String(err)
  }
}

t.test('without a span it is the 30 days up to and with today', async (t) => {
  t.strictSame(activitySpan({}, NOW), { from: '2026-10-27', to: '2026-11-26', interval: 'day' })
  t.strictSame(activitySpan({ to: '2026-03-01' }, NOW), { from: '2026-01-30', to: '2026-03-01', interval: 'day' })
  t.strictSame(activitySpan({ to: '0001-01-05' }, NOW).from, '0001-01-01')
})

t.test('a span that is empty or too long is refused, one day less is not', async (t) => {
  const refused = (from: string, to: string, interval: 'day' | 'week' | 'month' = 'day') =>
    code(() => activitySpan({ from, to, interval }, NOW))
  t.equal(refused('2026-01-02', '2026-01-01'), 'RANGE_INVALID')
  t.equal(refused('2026-01-01', '2026-01-01'), 'RANGE_INVALID')
  t.equal(refused('2026-01-01', '2026-01-02'), 'no error')
  const dayAfter = (days: number) => new Date(Date.UTC(2020, 0, 1 + days)).toISOString().slice(0, 10)
  t.equal(refused('2020-01-01', dayAfter(INTERVALS_MAX)), 'no error')
  t.equal(refused('2020-01-01', dayAfter(INTERVALS_MAX + 1)), 'RANGE_INVALID')
  t.equal(refused('2020-01-01', dayAfter(INTERVALS_MAX + 1), 'week'), 'no error')
  t.equal(refused('0001-01-01', '0001-01-02'), 'no error')
  t.equal(refused('0000-12-31', '0001-01-02'), 'RANGE_INVALID')
  t.equal(refused('9998-12-31', '9999-01-01', 'month'), 'no error')
  t.equal(refused('9998-12-31', '9999-01-02', 'month'), 'RANGE_INVALID')
})

t.test('days without anything are there, and users are those at the end of each', async (t) => {
  const span = { from: '2026-11-01', to: '2026-11-04', interval: 'day' } as const
  const found = activityOf(span, {
    events: [
      { start: '2026-11-02', eventType: 'LoginInfoUpdated', events: 3 },
      { start: '2026-11-02', eventType: 'UserCreated', events: 2 }
    ],
    users: [
      { start: '2026-11-02', ...none, active: 2, locked: 1 },
      { start: '2025-01-01', ...none, active: 5 },
      { start: '2026-11-03', ...none, active: -1, deleted: 1, locked: -1 }
    ]
  })
  t.strictSame(found, [
    { from: '2026-11-01', to: '2026-11-02', events: 0, eventsByType: {}, signIns: 0, users: { ...none, active: 5 } },
    {
      from: '2026-11-02',
      to: '2026-11-03',
      events: 5,
      eventsByType: { LoginInfoUpdated: 3, UserCreated: 2 },
      signIns: 3,
      users: { ...none, active: 7, locked: 1 }
    },
    {
      from: '2026-11-03',
      to: '2026-11-04',
      events: 0,
      eventsByType: {},
      signIns: 0,
      users: { ...none, active: 6, deleted: 1 }
    }
  ])
})

t.test('weeks begin on Monday, months on their first, and the ends are cut off', async (t) => {
  const bounds = (from: string, to: string, interval: 'week' | 'month') =>
    activityOf({ from, to, interval }, { events: [], users: [] }).map((each) => [each.from, each.to])
  t.strictSame(bounds('2026-11-25', '2026-12-09', 'week'), [
    ['2026-11-25', '2026-11-30'],
    ['2026-11-30', '2026-12-07'],
    ['2026-12-07', '2026-12-09']
  ])
  t.strictSame(bounds('2026-11-23', '2026-11-24', 'week'), [['2026-11-23', '2026-11-24']])
  t.strictSame(bounds('2026-01-31', '2026-03-02', 'month'), [
    ['2026-01-31', '2026-02-01'],
    ['2026-02-01', '2026-03-01'],
    ['2026-03-01', '2026-03-02']
  ])
  t.strictSame(bounds('2024-12-31', '2025-01-02', 'month'), [
    ['2024-12-31', '2025-01-01'],
    ['2025-01-01', '2025-01-02']
  ])
})
