/** What stands behind the ? of the address: the filters of a page, so that a link shows what its sender saw. */

import { useCallback, useMemo } from 'preact/hooks'
import { useLocation } from 'preact-iso'

export type QueryChanges = Record<string, string | readonly string[] | null>

/**
 * The query, and a function that changes some of it: null, '' and [] take a name away. Replaces the address, so that Back
 * leaves the page instead of undoing filters one by one.
 */
export function useQuery(): [query: URLSearchParams, change: (changes: QueryChanges) => void] {
  const { url, route } = useLocation()
  const query = useMemo(() => new URLSearchParams(url.split('?')[1] ?? ''), [url])
  const change = useCallback(
    (changes: QueryChanges) => {
      // Of the address as it is, not as it was when whoever calls this later was made.
      const { pathname, search } = location
      const next = new URLSearchParams(search)
      for (const [name, value] of Object.entries(changes)) {
        next.delete(name)
        for (const each of [value ?? []].flat()) if (each !== '') next.append(name, each)
      }
      const text = next.toString()
      route(text === '' ? pathname : `${pathname}?${text}`, true)
    },
    [route]
  )
  return [query, change]
}
