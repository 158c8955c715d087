/** What stands around every page: where one can go, who one is, the theme. */
import type { ComponentChildren } from 'preact'
import { useLocation } from 'preact-iso'
import { useSession } from '../api/session.js'
import { Icon } from '../components/icon.js'
import { entriesFor } from '../pages.js'
import { Account } from './account.js'
import { Brand } from './brand.js'
import { ThemeButton } from './theme-button.js'

export function Shell({ children }: { children: ComponentChildren }) {
  const session = useSession()
  const { path } = useLocation()
  return (
    <div class="shell">
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <header class="side">
        <a class="home" href="/ui">
          <Brand />
        </a>
        <nav aria-label="Pages">
          <ul>
            {entriesFor(session).map(({ path: to, label, icon }) => (
              <li key={to}>
                <a href={to} aria-current={path === to || path.startsWith(`${to}/`) ? 'page' : undefined}>
                  <Icon of={icon} /> {label}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="side-foot">
          <Account />
          <ThemeButton />
        </div>
      </header>
      {children}
    </div>
  )
}
