/** What changes while nobody touches the page is asked for again. */
import { useEffect } from 'preact/hooks'

/** Calls `work` every `ms`, after a failure too, but not while the page is hidden. */
export function useEvery(ms: number, work: () => void): void {
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) work()
    }, ms)
    return () => clearInterval(timer)
  }, [ms, work])
}
