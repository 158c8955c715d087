/** What changes while nobody touches the page is asked for again. */
import { useEffect } from 'preact/hooks'

/** Calls `work` every `ms` as long as `active`, and not while the page is hidden. */
export function useEvery(ms: number, active: boolean, work: () => void): void {
  useEffect(() => {
    if (!active) return
    const timer = setInterval(() => {
      if (!document.hidden) work()
    }, ms)
    return () => clearInterval(timer)
  }, [ms, active, work])
}
