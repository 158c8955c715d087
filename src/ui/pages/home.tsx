/** Leads on to the page that somebody begins with. */
import { LockKeyhole } from 'lucide'
import { useEffect } from 'preact/hooks'
import { useLocation } from 'preact-iso'
import { useSession } from '../api/session.js'
import { Empty } from '../components/empty.js'
import { Page } from '../components/page.js'
import { homeFor } from '../pages.js'

export function HomePage() {
  const session = useSession()
  const { me } = session
  const { route } = useLocation()
  const first = homeFor(session)
  useEffect(() => {
    if (first) route(first.path, true)
  }, [first, route])
  if (first) return null
  return (
    <Page title="Nothing to see here">
      <Empty icon={LockKeyhole} title="Your credentials show none of the pages.">
        <p>
          They allow {me.scopes.length === 0 ? 'nothing' : me.scopes.join(', ')}. Sign in with a key that has one of{' '}
          <code>state:read</code>, <code>events:read</code> and <code>events:admin</code>.
        </p>
      </Empty>
    </Page>
  )
}
