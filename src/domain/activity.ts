/** What happened in a tenant, by day, week or month. Days are those of UTC. */
import { DomainError } from './errors.js'

export const ACTIVITY_INTERVALS = ['day', 'week', 'month'] as const
export type ActivityInterval = (typeof ACTIVITY_INTERVALS)[number]

/** Days as YYYY-MM-DD; `to` is exclusive. */
export type ActivitySpan = { from: string; to: string; interval: ActivityInterval }

/** Users of each kind; who is locked is of a status besides. */
export type UserCounts = { active: number; inactive: number; suspended: number; deleted: number; locked: number }

/** What the projection counted: events that were recorded within intervals, and by how much kinds grew within them, since the beginning. */
export type ActivityCounts = {
  /** `start` is the first day of the interval */
  events: { start: string; eventType: string; events: number }[]
  users: ({ start: string } & UserCounts)[]
}

export type Activity = {
  from: string
  /** exclusive */
  to: string
  events: number
  eventsByType: Record<string, number>
  signIns: number
  /** at the end of the interval */
  users: UserCounts
}

export const INTERVALS_MAX = 1000
const DEFAULT_DAYS = 30
const DAY_MS = 86_400_000
/** Days that have four digits for their year, and an interval after them. */
const FIRST_DAY = '0001-01-01'
const LAST_DAY = '9999-01-01'
const SIGN_IN = 'LoginInfoUpdated'

/**
 * The span that is asked for: without `to` through today, without `from` the 30 days before `to`.
 * Throws RANGE_INVALID when it is empty, has more than 1,000 intervals, or is not in the years 1 to 9998.
 */
export function activitySpan(asked: Partial<ActivitySpan>, nowMs: number): ActivitySpan {
  const { interval = 'day' } = asked
  const to = asked.to ?? dayOf(nowMs + DAY_MS)
  const from = asked.from ?? dayOf(Math.max(Date.parse(FIRST_DAY), Date.parse(to) - DEFAULT_DAYS * DAY_MS))
  if (from < FIRST_DAY || to > LAST_DAY)
    throw rangeInvalid(
      from < FIRST_DAY ? '/from' : '/to',
      `From ${from} to ${to} there are days that no event can have. Ask for days from ${FIRST_DAY} to ${LAST_DAY}.`
    )
  if (from >= to)
    throw rangeInvalid(
      '/from',
      `from is ${from}, which is not before to (${to}). \`to\` is exclusive: give a later day.`
    )
  const span = { from, to, interval }
  const count = startsOf(span, INTERVALS_MAX + 1).length
  if (count > INTERVALS_MAX)
    throw rangeInvalid(
      '/interval',
      `From ${from} to ${to} there are more than ${INTERVALS_MAX} intervals of a ${interval}. Ask for a shorter span or longer intervals.`
    )
  return span
}

/** One entry for each interval of the span, the earliest first, also where nothing happened. */
export function activityOf(span: ActivitySpan, { events, users }: ActivityCounts): Activity[] {
  const starts = startsOf(span)
  const growth = [...users].sort((a, b) => (a.start < b.start ? -1 : 1))
  const total: UserCounts = { active: 0, inactive: 0, suspended: 0, deleted: 0, locked: 0 }
  let next = 0
  return starts.map((start, i) => {
    for (; next < growth.length && growth[next]!.start <= start; next++)
      for (const kind of Object.keys(total) as (keyof UserCounts)[]) total[kind] += growth[next]![kind]
    const found = events.filter((each) => each.start === start)
    return {
      from: start < span.from ? span.from : start,
      to: starts[i + 1] ?? span.to,
      events: found.reduce((sum, each) => sum + each.events, 0),
      eventsByType: Object.fromEntries(found.map((each) => [each.eventType, each.events])),
      signIns: found.find(({ eventType }) => eventType === SIGN_IN)?.events ?? 0,
      users: { ...total }
    }
  })
}

/** First days of the intervals that the span touches; at most `max`. Weeks begin on Monday, as PostgreSQL's do. */
function startsOf({ from, to, interval }: ActivitySpan, max = Number.POSITIVE_INFINITY): string[] {
  const starts: string[] = []
  for (let start = startOf(from, interval); start < to && starts.length < max; start = after(start, interval))
    starts.push(start)
  return starts
}

function startOf(day: string, interval: ActivityInterval): string {
  if (interval === 'month') return `${day.slice(0, 7)}-01`
  const weekday = (new Date(day).getUTCDay() + 6) % 7
  return interval === 'week' ? dayOf(Date.parse(day) - weekday * DAY_MS) : day
}

function after(start: string, interval: ActivityInterval): string {
  // From the first of a month 31 days lead into the next one.
  const days = { day: 1, week: 7, month: 31 }[interval]
  return startOf(dayOf(Date.parse(start) + days * DAY_MS), interval)
}

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

const rangeInvalid = (pointer: string, text: string): DomainError => new DomainError('RANGE_INVALID', text, { pointer })
