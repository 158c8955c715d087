/** A part of a page with a heading of its own. */
import type { ComponentChildren } from 'preact'

export function Card({
  title,
  actions,
  flush = false,
  children
}: {
  title?: ComponentChildren
  actions?: ComponentChildren
  /** the content reaches to the edges, as tables do */
  flush?: boolean
  children: ComponentChildren
}) {
  return (
    <section class={flush ? 'card flush' : 'card'}>
      {(title || actions) && (
        <header class="card-head">
          {title && <h2>{title}</h2>}
          {actions && <div class="actions">{actions}</div>}
        </header>
      )}
      <div class="card-body">{children}</div>
    </section>
  )
}
