/** What was loaded, or that it is on its way, or why it did not come. */
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
  if (of.error !== undefined) return <ErrorBox error={of.error} onRetry={of.reload} />
  if (of.data === undefined) return <Loading what={`Loading ${what}`} />
  return <>{children(of.data)}</>
}
