/** A page: its title in the window and at the top, which gets the focus so that readers of screens hear where they are. */
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'

export function Page({
  title,
  heading,
  lead,
  actions,
  children
}: {
  /** of the window */
  title: string
  /** shown instead of the title */
  heading?: ComponentChildren
  /** a sentence or facts below the heading */
  lead?: ComponentChildren
  actions?: ComponentChildren
  children: ComponentChildren
}) {
  const top = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    document.title = `${title} · user-event-store`
  }, [title])
  useEffect(() => {
    // A field that asks for the focus keeps it.
    if (document.activeElement === document.body || document.activeElement?.closest('nav')) top.current?.focus()
  }, [])
  return (
    <main class="page" id="content">
      <header class="page-head">
        <div>
          <h1 ref={top} tabIndex={-1}>
            {heading ?? title}
          </h1>
          {lead && <div class="lead">{lead}</div>}
        </div>
        {actions && <div class="actions">{actions}</div>}
      </header>
      {children}
    </main>
  )
}
