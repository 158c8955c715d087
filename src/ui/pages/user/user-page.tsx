/** What stands around every page of a user: the name, how the user is, and the views there are. */
import type { ComponentChildren } from 'preact'
import { StatusBadge } from '../../components/badge.js'
import { Page } from '../../components/page.js'
import { Tabs } from '../../components/tabs.js'
import { timePath, userPath } from '../user-id.js'
import type { UserNow } from './use-user.js'

/** `user` is undefined until it is known, and where it may not be read. */
export function UserPage({
  userId,
  user,
  view,
  shows = view,
  children
}: {
  userId: string
  user: UserNow | undefined
  /** the tab that it is, or belongs to */
  view: 'Timeline' | 'Time machine'
  /** what it shows when that is not all of the view */
  shows?: string
  children: ComponentChildren
}) {
  const title = user ? `${shows} of ${user.state.fullName ?? user.state.username}` : shows
  const current = shows === view ? 'page' : 'true'
  return (
    <Page
      title={title}
      heading={
        <>
          {title} {user && <StatusBadge status={user.state.status} />}
        </>
      }
      lead={<code>{userId}</code>}
    >
      <Tabs
        label="Views of the user"
        tabs={[
          { href: userPath(userId), label: 'Timeline', current: view === 'Timeline' ? current : undefined },
          { href: timePath(userId), label: 'Time machine', current: view === 'Time machine' ? current : undefined }
        ]}
      />
      {children}
    </Page>
  )
}
