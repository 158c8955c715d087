/** Holds answers back: whoever sends again as soon as there is an answer, whatever it says, costs others nothing meanwhile. */
import { setTimeout as pause } from 'node:timers/promises'

export type HoldBack = (ms: number) => Promise<void>

/** Resolves after the time it is given, or `msMax`, never before; at once while `max` others wait, since each takes memory. */
export function createHoldBack({ max, msMax }: { max: number; msMax: number }): HoldBack {
  let held = 0
  return async (ms) => {
    if (held >= max) return
    held++
    const endsAt = performance.now() + Math.min(ms, msMax)
    // A timer cuts fractions off and counts from when the turn of the loop began: it can ring before its time.
    while (performance.now() < endsAt) {
      // The request that waits for it keeps the process alive as long as its client does.
      await pause(Math.ceil(endsAt - performance.now()), null, { ref: false })
    }
    held--
  }
}
