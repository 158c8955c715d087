/** How the service is: what comes in now, what there is, and for operators how fast, how far and where it hurts. */
import { OPERATOR, useSession } from '../../api/session.js'
import { Allowed } from '../../components/allowed.js'
import { Page } from '../../components/page.js'
import { LeftOut } from './left-out.js'
import { LiveEvents } from './live-events.js'
import { OperatorCharts } from './operator-charts.js'
import { Totals } from './totals.js'

export function DashboardPage() {
  const { can } = useSession()
  const reads = can(['events:read'])
  const operates = can(OPERATOR)
  return (
    <Page title="Dashboard" lead="What comes in now, and what there is.">
      {reads || operates ? (
        <>
          {reads && <LiveEvents />}
          {reads && <Totals />}
          {operates && <OperatorCharts />}
          {!reads && <LeftOut what="Live events and counts" scopes={['events:read']} />}
          {!operates && <LeftOut what="Conflicts, latencies, caches and lags" scopes={OPERATOR} />}
        </>
      ) : (
        <Allowed scopes={['events:read']} what="see the dashboard">
          {null}
        </Allowed>
      )}
    </Page>
  )
}
