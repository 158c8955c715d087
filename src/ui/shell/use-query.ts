/** What stands behind the ? of the address: the filters of a page, so that a link shows what its sender saw. */

import { useCallback, useMemo } from 'preact/hooks'
import { useLocation } from 'preact-iso'

export type QueryChanges = Record<string, string | readonly string[] | null>

/**
 * The query, and a function that changes some of it: null, '' and [] take a name away. Replaces the address, so that Back
 * leaves the page instead of undoing filters one by one.
 */
export function useQuery(): [query: URLSearchParams, change: (changes: QueryChanges) => void] {
  const { url, path, route } = useLocation()
  const query = useMemo(() => new URLSearchParams(url.split('?')[1] ?? ''), [url])
  const change = useCallback(
    (changes: QueryChanges) => {
      const next = new URLSearchParams(query)
      for (const [name, value] of Object.entries(changes)) {
        next.delete(name)
        for (const each of [value ?? []].flat()) if (each !== '') next.append(name, each)
      }
      const text = next.toString()
      route(text === '' ? path : `${path}?${text}`, true)
    },
    [query, path, route]
  )
  return [query, change]
}
