/** What was loaded, or that it is on its way, or why it did not come. What was there before an error stays below it. */
import type { ComponentChildren } from 'preact'
import type { Loaded } from '../api/use-loaded.js'
import { ErrorBox } from './error-box.js'
import { Loading } from './loading.js'

/** `what` names what is loaded: `subscriptions`. */
export function Answer<T>({
  of,
  what,
  children
}: {
  of: Pick<Loaded<T>, 'data' | 'error' | 'reload'>
  what: string
  children: (data: T) => ComponentChildren
}) {
  const { data, error, reload } = of
  return (
    <>
      {error !== undefined && <ErrorBox error={error} onRetry={reload} />}
      {data !== undefined ? children(data) : error === undefined && <Loading what={`Loading ${what}`} />}
    </>
  )
}
