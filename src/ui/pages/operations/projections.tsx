/** How far the projections are, what they could not apply, and rebuilding them. */
import { RotateCw } from 'lucide'
import { useState } from 'preact/hooks'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useEvery } from '../../api/use-every.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Allowed } from '../../components/allowed.js'
import { Answer } from '../../components/answer.js'
import { Badge } from '../../components/badge.js'
import { Button } from '../../components/button.js'
import { Card } from '../../components/card.js'
import { ConfirmDialog } from '../../components/dialog.js'
import { Icon } from '../../components/icon.js'
import { Page } from '../../components/page.js'
import { RelativeTime } from '../../components/relative-time.js'
import { Holdups } from './holdups.js'
import { ParkedUsers } from './parked-users.js'

type Projections = AnswerOf<'/admin/projections'>
type Projection = Projections['projections'][number]

const LOOK_MS = 5000
/** While a rebuild is under way. */
const LOOK_CLOSELY_MS = 1000

export const ProjectionsPage = () => (
  <Page title="Projections" lead="Tables that are filled from the log: how far they are, and what keeps them.">
    <Allowed scopes={['events:admin', 'tenants:all']} what="see projections">
      <Holdups />
      <ProjectionList />
    </Allowed>
  </Page>
)

function ProjectionList() {
  const { api } = useSession()
  const found = useLoaded('projections', (signal) => answerOf<Projections>(api.GET('/admin/projections', { signal })))
  const building = found.data?.projections.some(({ rebuild }) => rebuild !== null) ?? false
  useEvery(building ? LOOK_CLOSELY_MS : LOOK_MS, found.reload)
  return (
    <Answer of={found} what="projections">
      {({ projections }) =>
        projections.map((projection) => (
          <ProjectionCard key={projection.name} projection={projection} onChange={found.reload} />
        ))
      }
    </Answer>
  )
}

function ProjectionCard({ projection, onChange }: { projection: Projection; onChange: () => void }) {
  const { api } = useSession()
  const [asking, setAsking] = useState(false)
  const { name, servedVersion, version, filledAt, head, position, lagEvents, parkedUsers, rebuild } = projection
  async function start(): Promise<void> {
    await answerOf(api.POST('/admin/projections/{name}/rebuild', { params: { path: { name } } }))
    onChange()
  }
  return (
    <Card
      title={name}
      actions={
        <Button disabled={rebuild !== null} onClick={() => setAsking(true)} aria-label={`Rebuild ${name}`}>
          <Icon of={RotateCw} /> Rebuild
        </Button>
      }
    >
      <dl class="facts">
        <dt>Position</dt>
        <dd>
          {position.toLocaleString('en')} of {head.toLocaleString('en')},{' '}
          {lagEvents === 0 ? <Badge tone="good">up to date</Badge> : `${lagEvents.toLocaleString('en')} events behind`}
        </dd>
        <dt>Filled</dt>
        <dd>
          <RelativeTime at={filledAt} exact /> by version {servedVersion}
          {servedVersion !== version && <> (this instance has version {version})</>}
        </dd>
        {rebuild && (
          <>
            <dt>Rebuild</dt>
            <dd>
              <Badge tone="info">{rebuild.stage}</Badge> {rebuild.eventsDone.toLocaleString('en')} events,{' '}
              {rebuild.eventsPerSecond.toLocaleString('en')} per second
              {rebuild.secondsLeft !== null && `, ${rebuild.secondsLeft.toLocaleString('en')} s left`}
            </dd>
          </>
        )}
        <dt>Parked</dt>
        <dd>{parkedUsers.toLocaleString('en')} users</dd>
      </dl>
      {parkedUsers > 0 && <ParkedUsers name={name} count={parkedUsers} onChange={onChange} />}
      {asking && (
        <ConfirmDialog
          title={`Rebuild ${name}?`}
          confirm="Start the rebuild"
          onConfirm={start}
          onClose={() => setAsking(false)}
        >
          Other tables are filled from the whole log, and take the place of those that serve when they have caught up.
          Until then reads answer as before; the database has more to do.
        </ConfirmDialog>
      )}
    </Card>
  )
}
