/** One subscription: how it is, what it was asked to do, and its outbox. */
import { Pause, Play } from 'lucide'
import { useState } from 'preact/hooks'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useEvery } from '../../api/use-every.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Allowed } from '../../components/allowed.js'
import { Answer } from '../../components/answer.js'
import { Button } from '../../components/button.js'
import { Card } from '../../components/card.js'
import { ConfirmDialog } from '../../components/dialog.js'
import { Icon } from '../../components/icon.js'
import { JsonView } from '../../components/json-view.js'
import { Page } from '../../components/page.js'
import { RelativeTime } from '../../components/relative-time.js'
import { useQuery } from '../../shell/use-query.js'
import { Outbox } from './outbox.js'
import { addressed, counted, type Named, type Subscription, SubscriptionState } from './subscription.js'

const LOOK_MS = 3000

export function SubscriptionPage({ name }: { name: string }) {
  const [query] = useQuery()
  const scope = query.get('scope') === 'global' ? 'global' : 'tenant'
  return (
    <Page title={name} lead={<a href="/ui/subscriptions">All subscriptions</a>}>
      <Allowed
        scopes={scope === 'global' ? ['events:admin', 'tenants:all'] : ['events:admin']}
        what="see this subscription"
      >
        <Details key={`${scope} ${name}`} name={name} scope={scope} />
      </Allowed>
    </Page>
  )
}

function Details(named: Named) {
  const { api } = useSession()
  const found = useLoaded(`${named.scope} ${named.name}`, (signal) =>
    answerOf<AnswerOf<'/admin/subscriptions/{name}'>>(
      api.GET('/admin/subscriptions/{name}', { params: addressed(named), signal })
    )
  )
  useEvery(LOOK_MS, found.reload)
  return (
    <Answer of={found} what="the subscription">
      {(subscription) => (
        <>
          <State subscription={subscription} onChange={found.reload} />
          <Outbox named={named} signature={`${subscription.dead} ${subscription.pending}`} onChange={found.reload} />
          <Card title="Definition">
            <JsonView value={subscription.definition} label="the definition" />
          </Card>
        </>
      )}
    </Answer>
  )
}

function State({ subscription, onChange }: { subscription: Subscription; onChange: () => void }) {
  const [asking, setAsking] = useState(false)
  const { state, stateSince, lastError, lagEvents, lagSeconds, pending, dead, blockedUsers } = subscription
  const held = state === 'paused' || state === 'stopped'
  return (
    <Card
      title="State"
      actions={
        <Button onClick={() => setAsking(true)}>
          <Icon of={held ? Play : Pause} /> {held ? 'Resume' : 'Pause'}
        </Button>
      }
    >
      <dl class="facts">
        <dt>State</dt>
        <dd>
          <SubscriptionState state={state} /> since <RelativeTime at={stateSince} exact />
        </dd>
        {lastError !== null && (
          <>
            <dt>Last error</dt>
            <dd>{lastError}</dd>
          </>
        )}
        <dt>Behind</dt>
        <dd>
          {lagEvents.toLocaleString('en')} events
          {lagEvents > 0 && `, the oldest ${Math.round(lagSeconds).toLocaleString('en')} s old`}
        </dd>
        <dt>Owed</dt>
        <dd>
          {counted(pending)} pending, {counted(dead)} dead letters, of {blockedUsers.toLocaleString('en')} users
        </dd>
      </dl>
      {asking && (
        <HoldDialog subscription={subscription} held={held} onDone={onChange} onClose={() => setAsking(false)} />
      )}
    </Card>
  )
}

function HoldDialog({
  subscription,
  held,
  onDone,
  onClose
}: {
  subscription: Subscription
  held: boolean
  onDone: () => void
  onClose: () => void
}) {
  const { api } = useSession()
  const params = addressed(subscription)
  async function change(): Promise<void> {
    if (held) await answerOf(api.POST('/admin/subscriptions/{name}/resume', { params }))
    else await answerOf(api.POST('/admin/subscriptions/{name}/pause', { params }))
    onDone()
  }
  return (
    <ConfirmDialog
      title={`${held ? 'Resume' : 'Pause'} ${subscription.name}?`}
      confirm={held ? 'Resume delivery' : 'Pause delivery'}
      onConfirm={change}
      onClose={onClose}
    >
      {held
        ? 'It goes on where it stood, with everything that came meanwhile.'
        : 'Nothing is delivered until it is resumed. Its place in the log is kept, and nothing is lost.'}
    </ConfirmDialog>
  )
}
