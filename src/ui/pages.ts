/** All pages, by address. Whoever adds one adds a line here, and one to the navigation if it is to stand there. */
import { Archive, Gauge, type IconNode, KeyRound, Layers, Shapes, UsersRound, Webhook } from 'lucide'
import type { ComponentType } from 'preact'
import { OPERATOR, type Scope, type Session } from './api/session.js'
import { DashboardPage } from './pages/dashboard/dashboard.js'
import { ApiKeysPage } from './pages/operations/api-keys.js'
import { ArchivePage } from './pages/operations/archive.js'
import { EventTypePage, EventTypesPage } from './pages/operations/event-types.js'
import { ProjectionsPage } from './pages/operations/projections.js'
import { SubscriptionPage } from './pages/operations/subscription-page.js'
import { SubscriptionsPage } from './pages/operations/subscriptions.js'
import { TimeMachinePage } from './pages/time-machine/time-machine.js'
import { EventPage } from './pages/user/event.js'
import { TimelinePage } from './pages/user/timeline.js'
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
  /** who has all of these instead sees it as well */
  orScopes?: readonly Scope[]
}

export const pages: readonly PageRoute[] = [
  { path: '/ui/dashboard', component: DashboardPage },
  { path: '/ui/users', component: UsersPage },
  { path: '/ui/users/:userId', component: TimelinePage },
  { path: '/ui/users/:userId/events/:version', component: EventPage },
  { path: '/ui/users/:userId/time', component: TimeMachinePage },
  { path: '/ui/subscriptions', component: SubscriptionsPage },
  { path: '/ui/subscriptions/:name', component: SubscriptionPage },
  { path: '/ui/projections', component: ProjectionsPage },
  { path: '/ui/event-types', component: EventTypesPage },
  { path: '/ui/event-types/:type', component: EventTypePage },
  { path: '/ui/api-keys', component: ApiKeysPage },
  { path: '/ui/archive', component: ArchivePage }
]

/** In the order in which it is shown. */
export const navigation: readonly NavigationEntry[] = [
  { path: '/ui/dashboard', label: 'Dashboard', icon: Gauge, scopes: ['events:read'], orScopes: OPERATOR },
  { path: '/ui/users', label: 'Users', icon: UsersRound, scopes: ['state:read'] },
  { path: '/ui/subscriptions', label: 'Subscriptions', icon: Webhook, scopes: ['events:admin'] },
  { path: '/ui/projections', label: 'Projections', icon: Layers, scopes: ['events:admin', 'tenants:all'] },
  { path: '/ui/event-types', label: 'Event types', icon: Shapes, scopes: ['events:read'] },
  { path: '/ui/api-keys', label: 'API keys', icon: KeyRound, scopes: ['events:admin'] },
  { path: '/ui/archive', label: 'Archive', icon: Archive, scopes: ['events:admin', 'tenants:all'] }
]

/** The entries that somebody may see. */
export const entriesFor = ({ can }: Pick<Session, 'can'>): NavigationEntry[] =>
  navigation.filter(({ scopes, orScopes }) => can(scopes) || (orScopes !== undefined && can(orScopes)))

/**
 * Where /ui leads: operators to the first entry, everybody else, and whoever comes where nobody has to say who they are, to the
 * users, or if they may not see those to their first entry. Undefined when they may see none.
 */
export function homeFor({ can, me }: Pick<Session, 'can' | 'me'>): NavigationEntry | undefined {
  const entries = entriesFor({ can })
  const users = me.kind !== 'none' && can(OPERATOR) ? undefined : entries.find(({ path }) => path === '/ui/users')
  return users ?? entries[0]
}
