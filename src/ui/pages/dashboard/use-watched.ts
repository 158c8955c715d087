/** Whether somebody may be looking at the page. */
import { useEffect, useState } from 'preact/hooks'

/** False once the page has been hidden for `ms`, until it is shown again. */
export function useWatched(ms: number): boolean {
  const [watched, setWatched] = useState(true)
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = () => {
      clearTimeout(timer)
      if (document.hidden) timer = setTimeout(() => setWatched(false), ms)
      else setWatched(true)
    }
    look()
    document.addEventListener('visibilitychange', look)
    return () => {
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', look)
    }
  }, [ms])
  return watched
}
