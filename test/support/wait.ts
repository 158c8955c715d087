/** Waits for a condition instead of for time. */
import { setTimeout as pause } from 'node:timers/promises'

/** Asks `condition` again and again until it gives something truthy, and returns that; throws after `timeoutMs`. Asks every `everyMs`. */
export async function until<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 60_000, everyMs = 5, what = 'the condition' } = {}
): Promise<NonNullable<T>> {
  const giveUpAt = performance.now() + timeoutMs
  for (;;) {
    const result = await condition()
    if (result) return result
    if (performance.now() > giveUpAt) throw new Error(`Waited ${timeoutMs} ms for ${what} in vain.`)
    await pause(everyMs)
  }
}
