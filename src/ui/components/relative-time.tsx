/** A moment as people say it, with the exact one at hand. */
import { useEffect, useState } from 'preact/hooks'

const UNITS: [unit: Intl.RelativeTimeFormatUnit, seconds: number][] = [
  ['year', 31_556_952],
  ['month', 2_629_746],
  ['week', 604_800],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60]
]
const words = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'long' })
const TICK_MS = 15_000

/** `3 hours ago`, `in 2 days`, `now`; the largest unit that fits, cut off. */
export function relativeTo(nowMs: number, instant: string): string {
  const seconds = (Date.parse(instant) - nowMs) / 1000
  const unit = UNITS.find(([, size]) => Math.abs(seconds) >= size)
  if (!unit) return Math.abs(seconds) < 10 ? 'now' : words.format(Math.trunc(seconds), 'second')
  return words.format(Math.trunc(seconds / unit[1]), unit[0])
}

/** `2026-11-22 08:00:00.000 UTC`: the same everywhere, as in logs. */
export const exactOf = (instant: string): string =>
  new Date(instant).toISOString().replace('T', ' ').replace('Z', ' UTC')

/** With `exact` both are shown, else the exact one on hovering. */
export function RelativeTime({ at, exact = false }: { at: string; exact?: boolean }) {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS)
    return () => clearInterval(timer)
  }, [])
  return (
    <time dateTime={at} title={exactOf(at)} class="time">
      {relativeTo(now, at)}
      {exact && <span class="exact">{exactOf(at)}</span>}
    </time>
  )
}
