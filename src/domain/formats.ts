/** String formats that event schemas name. TypeBox looks them up in a process-wide registry. */
import { isIP } from 'node:net'
import { FormatRegistry } from '@sinclair/typebox'

/** Makes the formats `date-time`, `ip`, `ipv4` and `ipv6` known to TypeBox; calling it again changes nothing. */
export function registerFormats(): void {
  FormatRegistry.Set('date-time', (text) => parseInstant(text) !== null)
  FormatRegistry.Set('ip', (text) => isIP(text) !== 0)
  FormatRegistry.Set('ipv4', (text) => isIP(text) === 4)
  FormatRegistry.Set('ipv6', (text) => isIP(text) === 6)
}

const DATE_TIME = /^(\d{4})-(\d\d)-(\d\d)[Tt ](?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/

/**
 * Reads an RFC 3339 date-time as UTC with milliseconds, finer digits cut off. Null if it is not one: also for
 * 30 February, 24:00 and leap seconds, which Date would move to another moment or not read at all; and when the moment
 * is not in the years 1 to 9999 of UTC, which PostgreSQL and four digits cannot say.
 */
export function parseInstant(text: string): string | null {
  if (isCanonical(text)) return text
  const match = DATE_TIME.exec(text)
  if (!match) return null
  const [, year, month, day] = match.map(Number) as [number, number, number, number]
  const midnight = new Date(Date.UTC(year, month - 1, day))
  midnight.setUTCFullYear(year)
  if (midnight.getUTCMonth() !== month - 1 || midnight.getUTCDate() !== day) return null
  const instant = new Date(text.replace(' ', 'T'))
  const utcYear = instant.getUTCFullYear()
  return utcYear >= 1 && utcYear <= 9999 ? instant.toISOString() : null
}

/** Whether it is written as this function would write it, as nearly all times are: found out in a fifth of the time. */
function isCanonical(text: string): boolean {
  if (text.length !== 24 || text.startsWith('0000')) return false
  const ms = Date.parse(text)
  return !Number.isNaN(ms) && instantOf(ms) === text
}

const DAY_MS = 86_400_000
const twoDigits = Array.from({ length: 100 }, (_, i) => String(i).padStart(2, '0'))
const threeDigits = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0'))
let lastDay = Number.NaN
let lastDayText = ''

/**
 * What `new Date(ms).toISOString()` gives, for whole milliseconds, in a tenth of the time: a replay asks for it once for
 * every event. Events that follow each other are mostly of one day, so the date is kept from call to call.
 */
export function instantOf(ms: number): string {
  const day = Math.floor(ms / DAY_MS)
  if (day !== lastDay) {
    lastDayText = new Date(day * DAY_MS).toISOString().slice(0, -13)
    lastDay = day
  }
  const rest = ms - day * DAY_MS
  const seconds = Math.floor(rest / 1000)
  const minutes = Math.floor(seconds / 60)
  return `${lastDayText}${twoDigits[Math.floor(minutes / 60)]}:${twoDigits[minutes % 60]}:${twoDigits[seconds % 60]}.${threeDigits[rest % 1000]}Z`
}

const YEAR_1 = Date.UTC(-1, 12) + 366 * DAY_MS

/** What a time column can hold of a text that the effect of a registered type may have put in the place of a time; null for nothing. */
export function storable(text: string | null): string | null {
  const ms = text === null ? Number.NaN : Date.parse(text)
  return Number.isNaN(ms) || ms < YEAR_1 ? null : instantOf(ms)
}
