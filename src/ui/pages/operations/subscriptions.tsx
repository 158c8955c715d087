/** All subscriptions: how they are, and what they owe. */
import { Webhook } from 'lucide'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useEvery } from '../../api/use-every.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Allowed } from '../../components/allowed.js'
import { Answer } from '../../components/answer.js'
import { Badge } from '../../components/badge.js'
import { Card } from '../../components/card.js'
import { Empty } from '../../components/empty.js'
import { Page } from '../../components/page.js'
import { type Column, Table } from '../../components/table.js'
import { counted, type Subscription, SubscriptionState, subscriptionPath } from './subscription.js'

const LOOK_MS = 5000

export const SubscriptionsPage = () => (
  <Page title="Subscriptions" lead="Who is sent events, how far behind they are, and what could not be delivered.">
    <Allowed scopes={['events:admin']} what="see subscriptions">
      <SubscriptionList />
    </Allowed>
  </Page>
)

function SubscriptionList() {
  const { api } = useSession()
  const found = useLoaded('subscriptions', (signal) =>
    answerOf<AnswerOf<'/admin/subscriptions'>>(api.GET('/admin/subscriptions', { signal }))
  )
  useEvery(LOOK_MS, found.reload)
  return (
    <Answer of={found} what="subscriptions">
      {({ subscriptions }) => (
        <Card flush>
          {subscriptions.length === 0 ? (
            <Empty icon={Webhook} title="There are no subscriptions yet.">
              <p>
                Events are sent to another system once <code>POST /admin/subscriptions</code> names it.
              </p>
            </Empty>
          ) : (
            <Table caption="Subscriptions" columns={columns} rows={subscriptions} keyOf={subscriptionPath} />
          )}
        </Card>
      )}
    </Answer>
  )
}

const columns: readonly Column<Subscription>[] = [
  {
    name: 'Subscription',
    cell: (subscription) => (
      <a class="strong breakable" href={subscriptionPath(subscription)}>
        {subscription.name}
      </a>
    )
  },
  { name: 'Sends to', cell: ({ definition }) => (definition.sink as { kind: string }).kind },
  { name: 'Of', cell: ({ scope }) => (scope === 'global' ? 'all tenants' : 'this tenant') },
  {
    name: 'State',
    cell: ({ state }) => (
      <span class="badges">
        <SubscriptionState state={state} />
      </span>
    )
  },
  { name: 'Behind', cell: ({ lagEvents }) => lagEvents.toLocaleString('en'), number: true },
  { name: 'Pending', cell: ({ pending }) => counted(pending), number: true },
  {
    name: 'Dead',
    cell: ({ dead }) =>
      dead > 0 ? (
        <span class="badges">
          <Badge tone="bad">{counted(dead)}</Badge>
        </span>
      ) : (
        0
      ),
    number: true
  }
]
