/** Repeats a step of background work until it is stopped. Knows nothing of what the work is. */
import { setTimeout as pause } from 'node:timers/promises'

export type Loop = {
  /** Runs the next step soon instead of after the interval: something happened. */
  wake(): void
  /** Lets the running step end and starts no other. */
  stop(): Promise<void>
}

export type LoopOptions = {
  /** One step; tells whether more is waiting. Must watch `signal` if it can take long. */
  once: (signal: AbortSignal) => Promise<'more' | 'idle'>
  /** wait after an idle step, ms; ± 10 % so that instances do not march in step */
  intervalMs: number
  /** shortest wait after an idle step, also when woken, ms */
  gapMs?: number
  onError: (err: unknown) => void
}

const BACKOFF_MAX_MS = 30_000

/** Starts the loop. A step that throws is reported and tried again after a wait that doubles up to 30 s. */
export function startLoop({ once, intervalMs, gapMs = 100, onError }: LoopOptions): Loop {
  const stopping = new AbortController()
  let waker = new AbortController()
  let failures = 0

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      waker = new AbortController()
      try {
        const result = await once(stopping.signal)
        failures = 0
        if (result === 'more') continue
        await waitFor(gapMs, stopping.signal)
        await waitFor(jitter(intervalMs) - gapMs, waker.signal)
      } catch (err) {
        onError(err)
        failures++
        await waitFor(jitter(Math.min(BACKOFF_MAX_MS, 100 * 2 ** failures)), stopping.signal)
      }
    }
  }

  const running = run()
  return {
    wake() {
      // Aborting again does nothing but make an exception with a stack, which is dear on the path of every append.
      if (!waker.signal.aborted) waker.abort()
    },
    async stop() {
      stopping.abort()
      waker.abort()
      await running
    }
  }
}

const jitter = (ms: number): number => ms * (0.9 + Math.random() * 0.2)

/** Waits `ms`, or until the signal says so. */
async function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await pause(ms, undefined, { signal }).catch(() => {})
}
