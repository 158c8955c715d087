/** Signing in, what stands around the pages, and which page an address shows. */
import { LocationProvider, Route, Router } from 'preact-iso'
import { SessionGate, useSession } from './api/session.js'
import { HomePage } from './pages/home.js'
import { NotFoundPage } from './pages/not-found.js'
import { pages } from './pages.js'
import { Shell } from './shell/shell.js'

export const App = () => (
  <LocationProvider scope="/ui">
    <SessionGate>
      <Pages />
    </SessionGate>
  </LocationProvider>
)

function Pages() {
  const { me } = useSession()
  return (
    // What was loaded for one tenant or one key is not shown to another.
    <Shell key={`${me.principal} ${me.tenantId}`}>
      <Router>
        <Route path="/ui" component={HomePage} />
        {pages.map(({ path, component }) => (
          <Route key={path} path={path} component={component} />
        ))}
        <Route default component={NotFoundPage} />
      </Router>
    </Shell>
  )
}
