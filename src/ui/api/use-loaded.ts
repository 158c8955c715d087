/** What a page needs of the API: one answer, or a list that comes page by page. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'

export type Loaded<T> = {
  /** the newest answer; stays for the same `key` while another one is on its way, and when that fails */
  data: T | undefined
  error: unknown
  loading: boolean
  reload(): void
}

/**
 * Loads when the component appears and whenever `key` changes, which names what is loaded. What `load` answers after the key
 * has changed is dropped, and its signal aborted. A `key` of null loads nothing.
 */
export function useLoaded<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string | null; data?: T; error?: unknown; loading: boolean }>({
    key,
    loading: key !== null
  })
  const [turn, setTurn] = useState(0)
  const latest = useRef(load)
  latest.current = load

  useEffect(() => {
    if (key === null) {
      setState({ key, loading: false })
      return
    }
    const leave = new AbortController()
    setState((before) => (before.key === key ? { ...before, loading: true } : { key, loading: true }))
    latest.current(leave.signal).then(
      (data) => {
        if (!leave.signal.aborted) setState({ key, data, loading: false })
      },
      (error: unknown) => {
        if (!leave.signal.aborted)
          setState(({ data }) => ({ key, ...(data !== undefined && { data }), error, loading: false }))
      }
    )
    return () => leave.abort()
  }, [key, turn])

  const reload = useCallback(() => setTurn((before) => before + 1), [])
  const current = state.key === key
  return {
    data: current ? state.data : undefined,
    error: current ? state.error : undefined,
    loading: !current || state.loading,
    reload
  }
}

export type Pages<Item, Page> = {
  items: Item[]
  /** the first page: what it says of the whole list */
  first: Page | undefined
  error: unknown
  loading: boolean
  /** whether there is more; false until the first page is there */
  hasMore: boolean
  more(): void
  reload(): void
}

/**
 * A list of the API that is read by cursors. Starts anew when `key` changes, which names the list and its filters. After an
 * error, `more` tries the same page again.
 */
export function usePages<Item, Page extends { next: string | null }>(
  key: string,
  load: (cursor: string | undefined, signal: AbortSignal) => Promise<Page>,
  itemsOf: (page: Page) => Item[]
): Pages<Item, Page> {
  type State = { key: string; pages: Page[]; error?: unknown; loading: boolean }
  const [state, setState] = useState<State>({ key, pages: [], loading: true })
  const [turn, setTurn] = useState(0)
  const latest = useRef(load)
  latest.current = load
  const running = useRef<AbortController | null>(null)

  const read = useCallback((key: string, pages: Page[]): void => {
    running.current?.abort()
    const leave = new AbortController()
    running.current = leave
    // What is read again stays until it is there, and with it the focus.
    setState((before) => ({ key, pages: before.key === key ? before.pages : [], loading: true }))
    latest.current(pages.at(-1)?.next ?? undefined, leave.signal).then(
      (page) => {
        if (!leave.signal.aborted) setState({ key, pages: [...pages, page], loading: false })
      },
      (error: unknown) => {
        if (!leave.signal.aborted) setState({ key, pages, error, loading: false })
      }
    )
  }, [])

  useEffect(() => {
    read(key, [])
    return () => running.current?.abort()
  }, [key, turn, read])

  const current = state.key === key ? state : { key, pages: [], loading: true, error: undefined }
  const last = current.pages.at(-1)
  const hasMore = last !== undefined && last.next !== null
  return {
    items: current.pages.flatMap(itemsOf),
    first: current.pages[0],
    error: current.error,
    loading: current.loading,
    hasMore,
    more: () => {
      if (!current.loading && hasMore) read(key, current.pages)
    },
    reload: () => setTurn((before) => before + 1)
  }
}
