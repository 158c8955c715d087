/** All pages, by address. Whoever adds one adds a line here, and one to the navigation if it is to stand there. */
import { type IconNode, UsersRound } from 'lucide'
import type { ComponentType } from 'preact'
import type { Scope } from './api/session.js'
import { TimeMachinePage } from './pages/time-machine/time-machine.js'
import { UserPage } from './pages/user.js'
import { UsersPage } from './pages/users.js'

export type PageRoute = {
  /** with `:name` for parts that differ; the component gets them as properties */
  path: string
  // biome-ignore lint/suspicious/noExplicitAny: each has the properties that its path names
  component: ComponentType<any>
}

export type NavigationEntry = {
  path: string
  label: string
  icon: IconNode
  /** who has not all of them does not see the entry */
  scopes: readonly Scope[]
}

export const pages: readonly PageRoute[] = [
  { path: '/ui/users', component: UsersPage },
  { path: '/ui/users/:userId', component: UserPage },
  { path: '/ui/users/:userId/time', component: TimeMachinePage }
]

/** In the order in which it is shown; the first that somebody may see is the page at /ui. */
export const navigation: readonly NavigationEntry[] = [
  { path: '/ui/users', label: 'Users', icon: UsersRound, scopes: ['state:read'] }
]
