/** Views of the same thing, as links: each has an address of its own. */

export type Tab = {
  href: string
  label: string
  /** `page`: this is what is shown; `true`: what is shown belongs to it */
  current?: 'page' | 'true' | undefined
}

/** `label` says to readers of screens what the tabs are of. */
export function Tabs({ label, tabs }: { label: string; tabs: readonly Tab[] }) {
  return (
    <nav aria-label={label}>
      <ul class="tabs">
        {tabs.map(({ href, label, current }) => (
          <li key={href}>
            <a class="tab" href={href} aria-current={current}>
              {label}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  )
}
