/** How far long work is: on a terminal one line with a bar, rate and time left that is written over, elsewhere nothing. */

const EVERY_MS = 200
const BAR = 20

export type Progress = { add(count: number): void; end(): void }

/** Counts up to `total`, null when it is not known; `what` says what is done with each, in the past tense. */
export function reportProgress(
  what: string,
  total: number | null,
  out: { isTTY?: boolean; write(text: string): unknown }
): Progress {
  const startedAt = performance.now()
  let done = 0
  let shownAt = 0
  return {
    add(count) {
      done += count
      if (!out.isTTY || performance.now() - shownAt < EVERY_MS) return
      shownAt = performance.now()
      out.write(`\r${lineOf({ what, total, done, ms: shownAt - startedAt })}\x1b[K`)
    },
    end() {
      if (out.isTTY) out.write(`\r${lineOf({ what, total, done, ms: performance.now() - startedAt })}\x1b[K\n`)
    }
  }
}

/** One line: bar, count, rate, and the time that is left at this rate. */
export function lineOf(at: { what: string; total: number | null; done: number; ms: number }): string {
  const { what, total, done, ms } = at
  const rate = ms > 0 ? (done / ms) * 1000 : 0
  const counted = `${done}${total === null ? '' : ` of ${total}`} ${what}, ${Math.round(rate)} a second`
  if (total === null) return counted
  const filled = total > 0 ? Math.min(BAR, Math.floor((done / total) * BAR)) : BAR
  const bar = `[${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}]`
  const left = Math.max(0, total - done)
  return `${bar} ${counted}, ${rate > 0 || left === 0 ? `${durationOf(rate > 0 ? left / rate : 0)} left` : '… left'}`
}

function durationOf(seconds: number): string {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}
