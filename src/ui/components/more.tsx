/** The end of a list that comes page by page: asks for more when it comes into sight, and can be pressed. */
import { useEffect, useRef } from 'preact/hooks'
import { Button } from './button.js'
import { ErrorBox } from './error-box.js'
import { Loading } from './loading.js'

/** How far below the window it begins to load. */
const AHEAD = '600px'

type Listed = {
  items: readonly unknown[]
  error: unknown
  loading: boolean
  hasMore: boolean
  more(): void
  reload(): void
}

/** `what` names what is listed: `events`. */
export function More({ pages, what }: { pages: Listed; what: string }) {
  const end = useRef<HTMLDivElement>(null)
  const latest = useRef(pages)
  latest.current = pages
  const { items, error, loading, hasMore, more, reload } = pages

  // An observer tells when the end comes into sight, and at once when it is. There is one only while nothing is loading: what it told meanwhile
  // would be in vain, and it tells it once.
  const length = items.length
  useEffect(() => {
    if (loading) return
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting && latest.current.error === undefined) latest.current.more()
      },
      { rootMargin: AHEAD }
    )
    observer.observe(end.current!)
    return () => observer.disconnect()
  }, [length, loading])

  return (
    <div class="more" ref={end}>
      {error !== undefined ? (
        <ErrorBox error={error} onRetry={length === 0 ? reload : more} />
      ) : loading ? (
        <Loading what={`Loading ${what}`} />
      ) : (
        hasMore && <Button onClick={more}>More {what}</Button>
      )}
    </div>
  )
}
